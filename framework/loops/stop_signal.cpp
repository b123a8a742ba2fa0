#include <levin/framework/loops/stop_signal.h>

#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include <levin/framework/core/interruption.h>

namespace levin {
namespace {

volatile std::sig_atomic_t g_received = 0;

/// When the first signal of each kind arrived, in nanoseconds of a clock that never goes back; 0
/// before. In the order of StopSignal::kSignals.
std::atomic<int64_t> g_first_at[3];
static_assert(std::atomic<int64_t>::is_always_lock_free);  // because a signal handler uses it

constexpr int64_t kSameStop = 1'000'000'000;

/// 1 if Levin's launcher has started this process. Later signals then don't end it; the launcher
/// ends its ranks itself.
volatile std::sig_atomic_t g_keeps_on = 0;

int64_t nanoseconds_now() {  // clock_gettime may be called in signal handlers
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Notes the signal. Unless the launcher has started this process, a later one of its kind ends it.
void on_signal(int number) {
  g_received = 1;
  set_interrupted(true);
  const int64_t now = nanoseconds_now();
  int64_t first = 0;
  auto& first_at = g_first_at[number == SIGINT ? 0 : number == SIGTERM ? 1 : 2];
  if (first_at.compare_exchange_strong(first, now) || g_keeps_on != 0) return;
  if (now - first < kSameStop) return;
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(number, &action, nullptr);
  ::raise(number);  // it is delivered when this handler returns
}

}  // namespace

StopSignal::StopSignal() {
  g_received = 0;
  set_interrupted(false);
  for (auto& first_at : g_first_at) first_at = 0;
  g_keeps_on = std::getenv("LEVIN_LAUNCHED") != nullptr ? 1 : 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    sigaction(kSignals[i], &action, &before_[i]);
    const bool stays_ignored = kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN;
    if (stays_ignored) sigaction(SIGHUP, &before_[i], nullptr);
  }
}

StopSignal::~StopSignal() {
  set_interrupted(false);  // what comes after the loop may wait for as long as it needs
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

bool StopSignal::received() { return g_received != 0; }

}  // namespace levin
