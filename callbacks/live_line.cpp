#include <levin/callbacks/live_line.h>

#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace levin {
namespace {

constexpr const char* kClearToEnd = "\x1b[K";

/// Returns the first `columns` characters of a UTF-8 text.
std::string_view cut(std::string_view text, int columns) {
  int seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (starts_character && ++seen > columns) return text.substr(0, i);
  }
  return text;
}

}  // namespace

bool is_live_terminal(std::FILE* out) {
  const char* term = std::getenv("TERM");
  return ::isatty(::fileno(out)) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

int LiveLine::columns() const {
  constexpr int kUsual = 80;
  if (!live_) return 0;
  if (width_ > 0) return width_;
  winsize size{};
  const bool known = ::ioctl(::fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsual;
}

void LiveLine::write(const std::string& text) {
  is_open_ = live_;
  diagnostics::print(
      out_, live_ ? fmt::format("\r{}{}", cut(text, columns() - 1), kClearToEnd) : text + '\n');
}

void LiveLine::end() {
  if (!is_open_) return;
  diagnostics::print(out_, "\n");
  is_open_ = false;
}

}  // namespace levin
