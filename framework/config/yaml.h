#pragma once

#include <filesystem>
#include <string_view>

#include <levin/framework/config/node.h>

namespace levin {

/// Reads YAML text, one document, and keeps the line of every node. Anchors, aliases, `<<` merges
/// (without quotes) and `!!binary` text are understood. `file` is what error messages call the
/// text. The time is proportional to the length of the text. Throws ConfigError, with file and
/// line, if the text isn't YAML, has the same key twice, goes on after its end, is nested more than
/// 64 levels deep, has more than 100,000 values or copies more than 2 MiB of text (aliases count
/// with all that they stand for), and ConfigError with the file if it is larger than 2 MiB.
ConfigNode parse_yaml(std::string_view text, std::string_view file);

/// Reads a YAML file; `~` at the start of the path is the home folder (expand_home). Throws what
/// parse_yaml throws, and also ConfigError if the file can't be read; the message calls the file
/// `what`. Of something without an end, such as a device, no more is read than a file may hold.
ConfigNode read_yaml(const std::filesystem::path& path,
                     std::string_view what = "the configuration");

/// Reads what follows `--key=` on a command line: a list or object in brackets, text in quotes, or
/// otherwise a scalar, which is everything up to the end. A list or object keeps its text, because
/// it may stand for a setting that is text, such as the name `{epoch}`; brackets that aren't valid
/// YAML, as in `[ab]*.csv`, are a scalar. Throws ConfigError if text in quotes isn't valid YAML.
ConfigNode parse_argument(std::string_view text);

}  // namespace levin
