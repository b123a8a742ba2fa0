#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace levin {

/// How many of the characters of two names differ at most, between what they begin and end with:
/// 2 for "bart" and "bent".
inline size_t differing_length(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
  return std::max(a.size(), b.size());
}

}  // namespace levin
