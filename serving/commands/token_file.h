#pragma once

#include <string>

namespace levin {

/// Reads a bearer token from the first line of a file. Throws ConfigError if the file can't be read
/// or is larger than 64 KiB, and if the line isn't a token of visible ASCII characters.
std::string read_token_file(const std::string& path);

}  // namespace levin
