#include <levin/framework/core/terminal.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

constexpr std::string_view kPlain = "\x1b[0m";

struct CharacterRange {
  uint32_t first;
  uint32_t last;
};

// Unicode's East_Asian_Width W and F, by blocks: most of them are wide in every font.
constexpr CharacterRange kWide[] = {
    {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
// Combining marks, joiners and variation selectors.
constexpr CharacterRange kWithoutWidth[] = {
    {0x0300, 0x036f}, {0x200b, 0x200f}, {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}};

template <size_t N>
bool is_within(uint32_t character, const CharacterRange (&ranges)[N]) {
  for (const auto& range : ranges) {
    if (character >= range.first && character <= range.last) return true;
  }
  return false;
}

/// A part of a text that can't be divided: a character, or a code for a color.
struct TextPart {
  size_t bytes;
  int columns;
};

TextPart next_part(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.substr(0, 2) == "\x1b[") {
    size_t end = 2;
    while (end < text.size() && (byte(end) < 0x40 || byte(end) > 0x7e)) ++end;
    return {std::min(end + 1, text.size()), 0};
  }
  size_t bytes = 1;
  uint32_t character = byte(0);
  while (bytes < text.size() && (byte(bytes) & 0xc0U) == 0x80U) {
    character =
        (bytes == 1 ? character & (0x3fU >> (byte(0) >= 0xe0) >> (byte(0) >= 0xf0)) : character)
            << 6U |
        (byte(bytes) & 0x3fU);
    ++bytes;
  }
  if (character < 0x20 || character == 0x7f || is_within(character, kWithoutWidth)) {
    return {bytes, 0};
  }
  return {bytes, is_within(character, kWide) ? 2 : 1};
}

bool has_variable(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value != nullptr && *value != '\0';
}

bool variable_is(const Environment& environment, const char* name, std::string_view expected) {
  const char* value = environment(name);
  return value != nullptr && value == expected;
}

bool locale_is_utf8(const Environment& environment) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!has_variable(environment, name)) continue;
    const std::string locale = to_small_letters(environment(name));
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

bool shows_color(const Environment& environment, bool live) {
  if (has_variable(environment, "NO_COLOR")) return false;
  if (has_variable(environment, "CLICOLOR_FORCE") &&
      !variable_is(environment, "CLICOLOR_FORCE", "0")) {
    return true;
  }
  return live && !variable_is(environment, "CLICOLOR", "0");
}

}  // namespace

Terminal terminal_of(std::FILE* out) {
  return terminal_of(out, [](const char* name) { return std::getenv(name); });
}

Terminal terminal_of(std::FILE* out, const Environment& environment) {
  Terminal terminal;
  const bool in_ci = has_variable(environment, "CI") && !variable_is(environment, "CI", "false");
  terminal.live =
      ::isatty(::fileno(out)) == 1 && !variable_is(environment, "TERM", "dumb") && !in_ci;
  terminal.color = shows_color(environment, terminal.live);
  terminal.unicode = locale_is_utf8(environment);
  return terminal;
}

int terminal_columns(std::FILE* out) {
  constexpr int kUsual = 80;
  winsize size{};
  const bool known = ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsual;
}

std::string painted(std::string_view text, Color color, bool on) {
  if (!on || text.empty()) return std::string(text);
  constexpr const char* kCodes[] = {"\x1b[1m",  "\x1b[31m", "\x1b[32m",
                                    "\x1b[33m", "\x1b[36m", "\x1b[35m"};
  std::string result = kCodes[static_cast<size_t>(color)];
  return result.append(text).append(kPlain);
}

std::string bar_text(double share, int columns, Color color, const Terminal& terminal) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int inside = std::max(columns - 2, 0);
  const int parts = terminal.unicode ? 8 : 1;
  const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * inside * parts);
  std::string bar;
  for (int i = 0; i < filled / parts; ++i) bar += terminal.unicode ? "█" : "#";
  bar += kEighths[filled % parts];
  const int used = (filled + parts - 1) / parts;
  return "|" + painted(bar, color, terminal.color) +
         std::string(static_cast<size_t>(inside - used), ' ') + "|";
}

int text_columns(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const TextPart part = next_part(text);
    columns += part.columns;
    text.remove_prefix(part.bytes);
  }
  return columns;
}

std::string cut_to_columns(std::string_view text, int columns) {
  std::string result;
  bool colored = false;
  while (!text.empty()) {
    const TextPart part = next_part(text);
    const std::string_view bytes = text.substr(0, part.bytes);
    columns -= part.columns;
    if (columns < 0) return colored ? result.append(kPlain) : result;
    if (bytes.front() == '\x1b') colored = bytes != kPlain;
    result.append(bytes);
    text.remove_prefix(part.bytes);
  }
  return result;
}

}  // namespace levin
