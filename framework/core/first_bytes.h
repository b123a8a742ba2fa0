#pragma once

#include <cstddef>
#include <string_view>

namespace levin {

/// Returns the beginning of a text, at most `most` bytes, cut between two characters of UTF-8. A
/// character has at most 4 bytes, so no more than 3 are left out, whatever the bytes are.
inline std::string_view first_bytes(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && end + 3 > most && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace levin
