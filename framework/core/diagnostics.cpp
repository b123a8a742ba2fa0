#include <levin/framework/core/diagnostics.h>

#include <cerrno>

#include <levin/framework/core/write_signals.h>

namespace levin::diagnostics {

void print(std::string_view text) noexcept { print(stderr, text); }

void print(std::FILE* out, std::string_view text) noexcept {
  if (out == nullptr || text.empty()) return;
  const int error = errno;
  const NoWriteSignals signals;
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
  std::clearerr(out);
  errno = error;
}

}  // namespace levin::diagnostics
