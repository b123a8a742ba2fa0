#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace levin::test {

/// A member of a tar archive: its header and its content, filled up to whole blocks.
inline std::string tar_member(std::string_view path, std::string_view content, char type = '0') {
  std::string block(512, '\0');
  const auto put = [&block](size_t at, std::string_view text) {
    block.replace(at, text.size(), text);
  };
  const auto octal = [](size_t value, int digits) {
    char text[16];
    std::snprintf(text, sizeof text, "%0*zo", digits, value);
    return std::string(text);
  };
  put(0, path);
  put(100, "0000644");
  put(124, octal(content.size(), 11));
  put(148, "        ");
  block[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  size_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 6) + std::string(1, '\0') + " ");
  return block + std::string(content) + std::string((512 - content.size() % 512) % 512, '\0');
}

}  // namespace levin::test
