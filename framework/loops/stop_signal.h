#pragma once

#include <csignal>

namespace levin {

/// Within its scope, the first SIGINT or SIGTERM sets a flag that the loop looks at after each
/// step; the second one acts as it would have without this (Levin's launcher ends its ranks
/// itself).
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// Whether a signal came since the scope began.
  static bool received();

 private:
  struct sigaction interrupt_before_ {};
  struct sigaction terminate_before_ {};
};

}  // namespace levin
