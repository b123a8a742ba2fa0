#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace levin {

struct HeartbeatOptions {
  /// Seconds between two beats of a rank.
  double interval = 0.25;
  /// Seconds without a beat after which a rank counts as lost: frozen, or its host is gone. Also
  /// how long the ranks have to join.
  double timeout_seconds = 10.0;
  /// Seconds without progress, while another rank waits as long, after which a rank counts as hung;
  /// longer than any step takes. 0: never. Rank 0's counts.
  double stall_seconds = 0.0;
  /// Seconds this rank has to leave after another's failure; then its process is ended.
  double grace_seconds = 1.0;
  /// Where the others reach rank 0. A loopback address: served on this host only. Rank 0's counts.
  std::string address = "127.0.0.1";
};

/// How the others learn where rank 0 is: a value in a store that all ranks share.
struct HeartbeatMeeting {
  std::function<void(const std::string& value)> publish;  // called by rank 0
  std::function<std::string()> lookup;  // called by the others; waits for the value
};

/// What the main thread shows of itself, for the price of a relaxed access.
struct HeartbeatSigns {
  std::atomic<uint64_t> steps{0};
  std::atomic<int32_t> waits{0};
};

/// Tells every rank within milliseconds that another has failed, whatever its own main thread does.
///
/// Each rank has a TCP connection to rank 0 and a thread that serves it, with all signals blocked.
/// Found out, each with its message:
///
/// | what a rank does                        | found by  | after             |
/// |-----------------------------------------|-----------|-------------------|
/// | it says so: `tell`                      | rank 0    | at once           |
/// | its process ends without `leave`        | rank 0    | at once           |
/// | rank 0's does                           | all       | at once           |
/// | no sign of life: stopped, host gone     | rank 0    | `timeout_seconds` |
/// | rank 0 gives none                       | all       | `timeout_seconds` |
/// | its main thread is stuck, others wait   | rank 0    | `stall_seconds`   |
///
/// Rank 0 tells the others at once. The first failure counts: on each rank the thread writes the
/// failure report (failure_report.h), calls `on_failure` on a thread of its own, and lets `check`
/// throw; where the rank hasn't left `grace_seconds` later, the thread writes "rank 1: rank 2
/// failed: ..." to stderr and ends the process with status 1, however stuck it is.
///
/// One rank alone: no thread, no socket, nothing happens. `leave` is for the thread that made it;
/// the other calls are for any thread.
class Heartbeat {
 public:
  using Options = HeartbeatOptions;
  class Waiting;

  /// Rank 0 serves at once and doesn't wait for the others; they return when connected to it.
  /// `on_failure` may unblock the main thread, by aborting its process group, say. Throws
  /// ConfigError for options that can't be, DistributedError where rank 0 can't be reached.
  Heartbeat(int64_t rank, int64_t world_size, const HeartbeatMeeting& meeting,
            HeartbeatOptions options = {}, std::function<void()> on_failure = {});
  /// Leaves.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  /// This rank's main thread got on: for every step.
  void progress() { signs_.steps.fetch_add(1, std::memory_order_relaxed); }

  /// Throws DistributedError with the other rank's failure where one is known: for every step.
  void check() const {
    if (has_failure_.load(std::memory_order_relaxed)) throw_failure();
  }

  /// The other rank's failure, "" where none is known `wait_seconds` from now. Who fails because a
  /// connection broke asks here, and waits a little, for the cause.
  std::string failure(double wait_seconds = 0) const;

  /// Tells the other ranks that this one fails; returns when that is on its way. From then on it
  /// learns of no other failure. Nothing happens where another failure is known already. A failure
  /// `because_of_another_rank` counts only where no other comes in the next 0.3 s.
  void tell(std::string_view message, bool because_of_another_rank = false);

  /// Says goodbye: what this rank does now is no failure, and it learns of none. Where rank 0
  /// leaves, nobody is watched any more. When this returns, the thread, `on_failure` and the
  /// sockets are gone.
  void leave();

 private:
  class Watch;
  [[noreturn]] void throw_failure() const;

  HeartbeatSigns signs_;
  std::atomic<bool> has_failure_{false};
  std::unique_ptr<Watch> watch_;  // none in a run of one rank
};

/// While one lives, its rank waits for the others: it isn't the one that hangs. The heartbeat has
/// to live longer.
class Heartbeat::Waiting {
 public:
  explicit Waiting(Heartbeat& heartbeat) : signs_(heartbeat.signs_) { change(1); }
  ~Waiting() { change(-1); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  /// To begin or end to wait is to get on.
  void change(int32_t by) {
    signs_.waits.fetch_add(by, std::memory_order_relaxed);
    signs_.steps.fetch_add(1, std::memory_order_relaxed);
  }

  HeartbeatSigns& signs_;
};

}  // namespace levin
