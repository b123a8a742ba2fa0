#pragma once

#include <cstdint>
#include <string_view>

namespace levin {

/// Returns a number that is the same for the same text in every process and on every machine.
/// 64-bit FNV-1a; not for secrets.
inline uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 14695981039346656037U;
  for (const char letter : text) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 1099511628211U;
  }
  return hash;
}

}  // namespace levin
