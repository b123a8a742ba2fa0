#include <levin/framework/launch/supervisor_signals.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/stop_burst.h>

namespace levin {
namespace {

std::atomic<int> g_wake{-1};
std::atomic<int> g_stops{0};
std::atomic<int> g_last_stop{0};
static_assert(std::atomic<int>::is_always_lock_free);  // because signal handlers use them
StopBurst g_burst;

void note_stop(int number) {
  if (g_burst.note() == StopBurst::Signal::same) return;
  g_last_stop = number;
  ++g_stops;
}

void on_signal(int number) {
  const int error = errno;
  if (number != SIGCHLD) note_stop(number);
  const char byte = 0;
  [[maybe_unused]] const ssize_t written =
      ::write(g_wake, &byte, 1);  // a full pipe is readable too
  errno = error;
}

bool is_of_a_write(int number) { return number == SIGPIPE || number == SIGXFSZ; }

void make_nonblocking(const Descriptor& descriptor) {
  ::fcntl(descriptor.get(), F_SETFL, ::fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

}  // namespace

SupervisorSignals::SupervisorSignals() : wake_(Pipe::open()) {
  if (!wake_.write.is_open()) {
    throw DistributedError(
        fmt::format("the launcher can't open a pipe: {}; raise the limit of open files (ulimit -n)",
                    std::strerror(errno)));
  }
  int none = -1;
  if (!g_wake.compare_exchange_strong(none, wake_.write.get())) {
    throw DistributedError(
        "this process is already running a launcher; wait until its ranks have ended");
  }
  make_nonblocking(wake_.read);
  make_nonblocking(wake_.write);
  g_stops = 0;
  g_burst.forget();
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  sigset_t wanted;
  sigemptyset(&wanted);
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    action.sa_handler = is_of_a_write(kSignals[i]) ? SIG_IGN : on_signal;
    action.sa_flags = kSignals[i] == SIGCHLD ? SA_RESTART | SA_NOCLDSTOP : SA_RESTART;
    ::sigaction(kSignals[i], &action, &before_[i]);
    if (kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN) {
      ::sigaction(SIGHUP, &before_[i], nullptr);
    }
    if (!is_of_a_write(kSignals[i])) sigaddset(&wanted, kSignals[i]);
  }
  ::pthread_sigmask(SIG_UNBLOCK, &wanted, &mask_before_);
}

SupervisorSignals::~SupervisorSignals() {
  restore_actions();
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  g_wake = -1;
}

void SupervisorSignals::clear() const {
  char bytes[256];
  while (::read(wake_.read.get(), bytes, sizeof(bytes)) > 0) {
  }
}

int SupervisorSignals::stops() const { return g_stops; }
int SupervisorSignals::last_stop() const { return g_last_stop; }

void SupervisorSignals::restore_actions() const {
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    ::sigaction(kSignals[i], &before_[i], nullptr);
  }
}

}  // namespace levin
