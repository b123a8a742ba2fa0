#include <levin/framework/core/live_region.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include <unistd.h>

namespace levin::live_region {
namespace {

std::atomic<std::FILE*> g_out{nullptr};
// For signal handlers, which can't look into a FILE.
std::atomic<int> g_descriptor{-1};
std::atomic<int> g_lines{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_ending_signal(int number) {
  leave_before_signal();
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(number, &action, nullptr);
  ::raise(number);  // it is delivered when this handler returns
}

/// Sets the action of the signals for which it is `from`.
void replace_actions(void (*from)(int), void (*to)(int)) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0) continue;
    if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != from) continue;
    action = {};
    action.sa_handler = to;
    action.sa_flags = SA_RESTART;
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace

void opened(std::FILE* out, int lines) noexcept {
  const bool is_new = g_out.load() != out;
  if (!is_new) {
    g_lines = lines;
    return;
  }
  const int descriptor = ::fileno(out);
  const int error = errno;
  const bool is_terminal = ::isatty(descriptor) == 1;
  errno = error;
  g_descriptor = is_terminal ? descriptor : -1;
  g_lines = lines;
  g_out = out;
  if (is_terminal) replace_actions(SIG_DFL, on_ending_signal);
}

void close() noexcept {
  g_lines = 0;
  if (g_out.exchange(nullptr) == nullptr) return;
  if (g_descriptor.exchange(-1) >= 0) replace_actions(on_ending_signal, SIG_DFL);
}

std::string_view take_clearing(std::FILE* out) noexcept {
  std::FILE* const own = g_out.load();
  if (own == nullptr) return {};
  if (own != out && (g_descriptor.load() < 0 || ::isatty(::fileno(out)) != 1)) return {};
  close();
  return "\r\x1b[J";
}

void leave_before_signal() noexcept {
  const int error = errno;
  const int descriptor = g_descriptor.load();
  for (int lines = g_lines.exchange(0); lines > 0 && descriptor >= 0; --lines) {
    if (::write(descriptor, "\n", 1) != 1) break;
  }
  errno = error;
}

}  // namespace levin::live_region
