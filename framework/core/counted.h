#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace levin {

/// Writes a number and its noun, in the plural unless the number is 1: "1 byte", "2 bytes". The
/// plural must be the noun with an s.
template <std::integral Integer>
std::string counted(Integer count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

}  // namespace levin
