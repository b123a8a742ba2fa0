#pragma once

#include <string>

#include <levin/cli/arguments.h>

namespace levin {

/// `levin convert`: writes files of rows as shards of Levin's own format, with progress on stderr.
/// Returns the exit status: 0, or 130 where a signal ended it (nothing is left then). Throws what
/// `convert` throws, and ConfigError for an option that isn't one.
int convert_files(const Arguments& arguments);

/// Its options with their defaults and meanings, a line each.
std::string convert_options_help();

}  // namespace levin
