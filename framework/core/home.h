#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// Returns `path` with the user's home folder in place of a `~`, `$HOME` or `${HOME}` at its start.
/// A shell replaces these only in words of its own: not in YAML, and not in `--option=~/runs`. All
/// options that hold paths go through here, so that `~/runs` never makes a folder named `~`.
///
/// Other paths come back as they are, but a path that begins with another user's name (`~ann/x`) or
/// another variable (`$SCRATCH/x`) is refused with a ConfigError that names `option`. `./~x` stands
/// for a file that is really named so. Throws ConfigError if HOME is needed and isn't set.
std::string expand_home(std::string path, std::string_view option);

/// The same for each of several paths.
std::vector<std::string> expand_home(std::vector<std::string> paths, std::string_view option);

}  // namespace levin
