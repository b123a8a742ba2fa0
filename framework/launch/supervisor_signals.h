#pragma once

#include <csignal>
#include <iterator>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Within its scope, SIGINT and SIGTERM are counted instead of ending the process, and they and the
/// end of a child make `descriptor()` readable; a closed pipe gives an error instead of SIGPIPE.
/// One at a time in a process. Throws DistributedError where there is one already.
class SupervisorSignals {
 public:
  SupervisorSignals();
  ~SupervisorSignals();
  SupervisorSignals(const SupervisorSignals&) = delete;
  SupervisorSignals& operator=(const SupervisorSignals&) = delete;

  /// Readable once one of the signals came; `clear()` before looking at what they mean.
  int descriptor() const { return wake_.read.get(); }
  void clear() const;
  /// How many times SIGINT or SIGTERM came, and which came last.
  int stops() const;
  int last_stop() const;

  /// Puts back what was done on these signals before. Async-signal-safe: for new processes.
  void restore_actions() const;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGCHLD, SIGPIPE};

  Pipe wake_;
  struct sigaction before_[std::size(kSignals)]{};
  sigset_t mask_before_;
};

}  // namespace levin
