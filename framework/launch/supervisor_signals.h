#pragma once

#include <csignal>
#include <iterator>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Replaces this process's signal actions while a launcher supervises its ranks.
///
/// During the lifetime of this object, SIGINT, SIGTERM and SIGHUP are counted instead of ending the
/// process. They, and the end of a child (SIGCHLD), make `descriptor()` readable. SIGPIPE and
/// SIGXFSZ are ignored, so that writing to a closed pipe or beyond `ulimit -f` returns an error;
/// SIGHUP stays ignored if it is, as under nohup. The destructor restores the previous actions.
///
/// A process can have only one such object at a time, because signal actions belong to the whole
/// process.
class SupervisorSignals {
 public:
  /// Throws DistributedError if there is already such an object or no descriptors are left.
  SupervisorSignals();
  ~SupervisorSignals();
  SupervisorSignals(const SupervisorSignals&) = delete;
  SupervisorSignals& operator=(const SupervisorSignals&) = delete;

  /// A descriptor for `poll`, readable after a signal has arrived. Call `clear` first and look at
  /// what has changed afterwards, so that a signal that arrives in between isn't missed.
  int descriptor() const { return wake_.read.get(); }
  /// Makes the descriptor unreadable until the next signal.
  void clear() const;
  /// How many times SIGINT, SIGTERM or SIGHUP has arrived. Those within a second of the first one
  /// belong to it and don't count (StopBurst).
  int stops() const;
  /// Which of the three arrived last; 0 if none has arrived in this process.
  int last_stop() const;

  /// Restores the previous signal actions in a process that was just forked. Async-signal-safe.
  void restore_actions() const;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE, SIGXFSZ};

  Pipe wake_;
  struct sigaction before_[std::size(kSignals)]{};
  sigset_t mask_before_;
};

}  // namespace levin
