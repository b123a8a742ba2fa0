#include <levin/framework/loops/stop_signal.h>

#include <atomic>
#include <cstdlib>

#include <levin/framework/core/interruption.h>
#include <levin/framework/core/live_region.h>
#include <levin/framework/core/stop_burst.h>

namespace levin {
namespace {

// Any thread may receive the signal and run the handler.
static_assert(std::atomic<bool>::is_always_lock_free);
std::atomic<bool> g_received{false};

StopBurst g_bursts[3];  // of each kind, in the order of StopSignal::kSignals

/// Whether Levin's launcher has started this process. Later signals then don't end it; the launcher
/// ends its ranks itself.
std::atomic<bool> g_keeps_on{false};

/// Notes the signal. Unless the launcher has started this process, a later one of its kind ends it.
void on_signal(int number) {
  g_received = true;
  set_interrupted(true);
  auto& burst = g_bursts[number == SIGINT ? 0 : number == SIGTERM ? 1 : 2];
  if (burst.note() != StopBurst::Signal::later || g_keeps_on) return;
  live_region::leave_before_signal();
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(number, &action, nullptr);
  ::raise(number);  // it is delivered when this handler returns
}

}  // namespace

StopSignal::StopSignal() {
  g_received = false;
  set_interrupted(false);
  for (auto& burst : g_bursts) burst.forget();
  g_keeps_on = std::getenv("LEVIN_LAUNCHED") != nullptr;
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

bool StopSignal::received() { return g_received; }

}  // namespace levin
