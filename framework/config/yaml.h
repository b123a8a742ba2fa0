#pragma once

#include <filesystem>
#include <string_view>

#include <levin/framework/config/node.h>

namespace levin {

/// Reads YAML text (one document; anchors, aliases and `<<` merges included) with the line of every
/// node; `file` is what errors call it. Throws ConfigError, with file and line, for what isn't YAML
/// and for a key that is there twice.
ConfigNode parse_yaml(std::string_view text, std::string_view file);

/// The same from a file. Throws ConfigError where it can't be read.
ConfigNode read_yaml(const std::filesystem::path& path);

/// What follows `--key=` on a command line: a list or object in brackets, text in quotes, else a
/// plain scalar, taken as it is.
ConfigNode parse_argument(std::string_view text);

}  // namespace levin
