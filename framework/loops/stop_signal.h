#pragma once

#include <csignal>
#include <iterator>

namespace levin {

/// Lets a loop end well after SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed). While
/// an object of this class exists, the first of these signals only sets a flag, which the loop
/// reads when it is safe to stop. Signals within a second of the first one belong to it
/// (StopBurst). A later signal of the same kind ends the program at once, unless Levin's launcher
/// has started the program (LEVIN_LAUNCHED is set): the launcher ends its ranks itself. SIGHUP
/// stays ignored if it is, as under nohup.
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
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

  struct sigaction before_[std::size(kSignals)]{};
};

}  // namespace levin
