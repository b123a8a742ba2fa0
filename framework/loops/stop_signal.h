#pragma once

#include <csignal>

namespace levin {

/// While an object of this class exists, the first SIGINT or SIGTERM only sets a flag, which a loop
/// looks at when it is safe to stop. The second one ends the program at once, unless Levin's
/// launcher has started it: the launcher ends its ranks itself. The handlers that were installed
/// before are put back at the end.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// Whether a signal has arrived since the last object was made.
  static bool received();

 private:
  struct sigaction interrupt_before_ {};
  struct sigaction terminate_before_ {};
};

}  // namespace levin
