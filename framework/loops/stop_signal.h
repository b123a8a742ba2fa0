#pragma once

#include <csignal>

namespace levin {

/// Lets a loop end well after SIGINT (Ctrl-C) or SIGTERM. While an object of this class exists, the
/// first of these signals only sets a flag, which the loop reads when it is safe to stop. A second
/// signal of the same kind ends the program at once, unless Levin's launcher has started the
/// program (LEVIN_LAUNCHED is set): the launcher ends its ranks itself.
///
///     const StopSignal signal;
///     while (!StopSignal::received()) train_one_step();
///
/// Signal handlers belong to the whole process, so there should be one object at a time.
class StopSignal {
 public:
  /// Clears the flag and installs the handlers.
  StopSignal();
  /// Puts back the handlers that were installed before.
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
