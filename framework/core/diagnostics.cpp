#include <levin/framework/core/diagnostics.h>

#include <cerrno>
#include <new>
#include <string>

#include <unistd.h>

#include <levin/framework/core/live_region.h>
#include <levin/framework/core/write_signals.h>

namespace levin {
namespace {

void write_at_once(std::FILE* out, std::string_view text) noexcept {
  const int error = errno;
  const NoWriteSignals signals;
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
  std::clearerr(out);
  errno = error;
}

}  // namespace

void live_region::draw(std::FILE* out, std::string_view frame, int lines) noexcept {
  opened(out, lines);
  write_at_once(out, frame);
}

namespace diagnostics {

void print(std::string_view text) noexcept { print(stderr, text); }

void print(std::FILE* out, std::string_view text) noexcept {
  if (out == nullptr || text.empty()) return;
  const std::string_view clearing = live_region::take_clearing(out);
  if (!clearing.empty()) write_at_once(out, clearing);
  write_at_once(out, text);
}

void print_line(std::FILE* out, std::string_view text) noexcept {
  if (out == nullptr) return;
  try {
    std::string line = ::isatty(::fileno(out)) == 1 ? "\r\x1b[K" : "";
    line.append(text).push_back('\n');
    print(out, line);
  } catch (const std::bad_alloc&) {
    print(out, text);
  }
}

}  // namespace diagnostics
}  // namespace levin
