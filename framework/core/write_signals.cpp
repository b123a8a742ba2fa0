#include <levin/framework/core/write_signals.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>

namespace levin {
namespace {

constexpr std::array<int, 2> kWriteSignals = {SIGPIPE, SIGXFSZ};

/// What the objects of NoWriteSignals share.
struct WriteSignals {
  std::mutex mutex;
  int users = 0;
  std::array<bool, kWriteSignals.size()> replaced{};
};

WriteSignals& write_signals() {
  static WriteSignals signals;
  return signals;
}

/// A function instead of SIG_IGN, which programs that are started would inherit.
void ignore_write_signal(int) {}

}  // namespace

NoWriteSignals::NoWriteSignals() noexcept {
  auto& shared = write_signals();
  const std::lock_guard lock(shared.mutex);
  if (shared.users++ > 0) return;
  struct sigaction action {};
  action.sa_handler = ignore_write_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kWriteSignals.size(); ++i) {
    struct sigaction before {};
    const bool is_default = ::sigaction(kWriteSignals[i], nullptr, &before) == 0 &&
                            (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL;
    shared.replaced[i] = is_default && ::sigaction(kWriteSignals[i], &action, nullptr) == 0;
  }
}

NoWriteSignals::~NoWriteSignals() {
  auto& shared = write_signals();
  const std::lock_guard lock(shared.mutex);
  if (--shared.users > 0) return;
  for (size_t i = 0; i < kWriteSignals.size(); ++i) {
    struct sigaction now {};
    const bool is_ours = shared.replaced[i] && ::sigaction(kWriteSignals[i], nullptr, &now) == 0 &&
                         (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == ignore_write_signal;
    if (is_ours) std::signal(kWriteSignals[i], SIG_DFL);
  }
}

void occupy_standard_descriptors() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // `open` returns the lowest number that is free. The file is opened for the wrong direction, so
    // that using it still fails.
    const int opened = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened >= 0 && opened != descriptor) ::close(opened);
  }
}

}  // namespace levin
