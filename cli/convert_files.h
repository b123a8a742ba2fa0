#pragma once

#include <string>

#include <levin/cli/arguments.h>

namespace levin {

/// Runs `levin convert`: writes files of rows as shards of Levin's own format. Progress is shown on
/// stderr if that is a terminal; with `--json`, the result goes to stdout as a JSON object.
///
/// Returns the exit status: 0, or 130 if a signal ended it; then no output is left. Throws
/// ConfigError for an unknown option, and whatever `convert` throws.
int convert_files(const Arguments& arguments);

/// Returns the options of `levin convert` with their defaults and meanings, one a line.
std::string convert_options_help();

}  // namespace levin
