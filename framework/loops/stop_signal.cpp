#include <levin/framework/loops/stop_signal.h>

#include <cstdlib>

namespace levin {
namespace {

volatile std::sig_atomic_t g_received = 0;

/// 1 if Levin's launcher has started this process. Later signals then don't end it; the launcher
/// ends its ranks itself.
volatile std::sig_atomic_t g_keeps_on = 0;

/// Notes the signal. Unless the launcher has started this process, a second signal ends it.
void on_signal(int number) {
  g_received = 1;
  if (g_keeps_on == 0) std::signal(number, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  g_received = 0;
  g_keeps_on = std::getenv("LEVIN_LAUNCHED") != nullptr ? 1 : 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &interrupt_before_);
  sigaction(SIGTERM, &action, &terminate_before_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &interrupt_before_, nullptr);
  sigaction(SIGTERM, &terminate_before_, nullptr);
}

bool StopSignal::received() { return g_received != 0; }

}  // namespace levin
