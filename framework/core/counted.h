#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace levin {

/// Writes a time in seconds, "1.5 s" or "1800 s": with three digits, or with all those before the
/// decimal point if they are more.
std::string in_seconds(double seconds);

/// Writes a number and its noun, in the plural unless the number is 1: "1 byte", "2 bytes". The
/// plural must be the noun with an s.
template <std::integral Integer>
std::string counted(Integer count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

}  // namespace levin
