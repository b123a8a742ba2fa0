#pragma once

#include <signal.h>

namespace levin::test {

/// Gives SIGHUP its default action for the time of a test, which it doesn't have under nohup, and
/// which started programs inherit.
class DefaultHangup {
 public:
  DefaultHangup() {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(SIGHUP, &action, &before_);
  }
  ~DefaultHangup() { ::sigaction(SIGHUP, &before_, nullptr); }
  DefaultHangup(const DefaultHangup&) = delete;
  DefaultHangup& operator=(const DefaultHangup&) = delete;

 private:
  struct sigaction before_ {};
};

}  // namespace levin::test
