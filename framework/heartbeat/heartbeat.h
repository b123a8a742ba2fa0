#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace levin {

/// Options of Heartbeat. All times are in seconds.
struct HeartbeatOptions {
  /// The time between two messages that a rank sends to show that it is alive.
  double interval = 0.25;
  /// The time without a message after which a rank counts as failed: its process was stopped or its
  /// host is gone. Also the time that the ranks have to join.
  double timeout_seconds = 10.0;
  /// The time without progress after which a rank counts as hung, provided that another rank has
  /// been waiting for as long. Choose it longer than any step takes; 0 switches this off. Only rank
  /// 0's value has an effect.
  double stall_seconds = 0.0;
  /// The time after which rank 0 says on stderr that a rank keeps others waiting, once for each
  /// such wait; 0 switches this off. Only rank 0's value has an effect.
  double notice_seconds = 60.0;
  /// The time this rank has to end after it has learned of another rank's failure. After that, its
  /// process is ended by force.
  double grace_seconds = 1.0;
  /// The address at which rank 0 listens and the others connect. With a loopback address, only this
  /// host can connect. Only rank 0's value has an effect.
  std::string address = "127.0.0.1";
  /// The text of the secret that all ranks share (run_secret.h), with which a rank shows rank 0
  /// that it is one; the same on all ranks. Empty: everybody who can read the store may join.
  std::string secret{};
};

/// How the other ranks learn the address of rank 0: through a value in a store that all ranks
/// share.
struct HeartbeatMeeting {
  /// Puts the value into the store. Called by rank 0.
  std::function<void(const std::string& value)> publish;
  /// Waits until the value is in the store and returns it. Called by the other ranks.
  std::function<std::string()> lookup;
};

/// Counters by which the main thread shows the heartbeat's thread what it is doing. Updating one
/// costs a relaxed atomic operation.
struct HeartbeatSigns {
  /// Increases whenever the main thread makes progress.
  std::atomic<uint64_t> steps{0};
  /// Above 0 while the main thread waits for other ranks.
  std::atomic<int32_t> waits{0};
};

/// Tells every rank of a run when another rank has failed, even if its own main thread is blocked.
///
/// Each rank except 0 has a TCP connection to rank 0. On every rank, a thread with all signals
/// blocked serves these connections. These failures are detected:
///
/// | failure                                       | detected by     | after             |
/// |-----------------------------------------------|-----------------|-------------------|
/// | a rank calls `tell`                           | rank 0          | milliseconds      |
/// | a rank's process ends without `leave`         | rank 0          | milliseconds      |
/// | rank 0's process ends without `leave`         | all other ranks | milliseconds      |
/// | a rank is stopped, or its host is unreachable | rank 0          | `timeout_seconds` |
/// | rank 0 is stopped, or its host is unreachable | all other ranks | `timeout_seconds` |
/// | a rank's main thread hangs while others wait  | rank 0          | `stall_seconds`   |
///
/// Rank 0 passes a failure on to all ranks immediately. Only the first failure of a run counts. On
/// each rank the thread then writes the failure report (failure_report.h), calls `on_failure` on a
/// further thread, and makes `check` throw. If the rank hasn't called `leave` within
/// `grace_seconds`, the thread writes "rank 1: rank 2 failed: ..." to stderr and ends the process
/// with status 1.
///
/// With a single rank there is neither a thread nor a socket, and no call has an effect. `leave`
/// and the destructor belong to the thread that constructed the object; any thread may make the
/// other calls.
///
///     Heartbeat heartbeat(rank, world_size, meeting, {}, [&] { group.abort(); });
///     for (...) {
///       train_one_step();
///       heartbeat.progress();
///       heartbeat.check();  // throws if another rank has failed
///     }
class Heartbeat {
 public:
  using Options = HeartbeatOptions;
  class Waiting;

  /// Joins the run. Rank 0 returns at once, without waiting for the others; another rank returns
  /// when it is connected to rank 0.
  ///
  /// `on_failure` is called when this rank learns of another rank's failure. It should unblock the
  /// main thread, for example by aborting its process group. Throws ConfigError if an option is out
  /// of range and DistributedError if rank 0 can't be reached.
  Heartbeat(int64_t rank, int64_t world_size, const HeartbeatMeeting& meeting,
            HeartbeatOptions options = {}, std::function<void()> on_failure = {});
  /// Calls `leave`.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  /// Notes that this rank's main thread has made progress. Call it after every step.
  void progress() { signs_.steps.fetch_add(1, std::memory_order_relaxed); }

  /// Throws DistributedError with the message of the failed rank if another rank has failed. Cheap
  /// enough to call after every step.
  void check() const {
    if (has_failure_.load(std::memory_order_relaxed)) throw_failure();
  }

  /// Returns the message of the rank that failed, or "" if no failure becomes known within
  /// `wait_seconds`. A rank whose connection broke calls this to learn which rank failed first.
  std::string failure(double wait_seconds = 0) const;

  /// Tells the other ranks that this one is failing. Returns when the heartbeat's thread has taken
  /// over the message, at the latest after 0.5 s. From then on this rank learns of no other
  /// failure. Has no effect if another failure is already known.
  ///
  /// Pass `because_of_another_rank` if the failure is probably the consequence of another one, such
  /// as a broken connection. Rank 0 then waits 0.3 s for the cause and passes this failure on only
  /// if none arrives.
  void tell(std::string_view message, bool because_of_another_rank = false);

  /// Takes this rank out of the run in an orderly way. The end of its process is then no failure,
  /// and it learns of no failures of others. After rank 0 has left, no rank is watched any more.
  /// When this returns, the threads have ended and the sockets are closed.
  void leave();

 private:
  class Watch;
  [[noreturn]] void throw_failure() const;

  HeartbeatSigns signs_;
  std::atomic<bool> has_failure_{false};
  std::unique_ptr<Watch> watch_;  // null if there is only one rank
};

/// Marks a scope in which this rank waits for other ranks, for example in a collective. A rank that
/// waits isn't taken for one that hangs. The heartbeat must outlive the object.
///
///     const Heartbeat::Waiting waiting(heartbeat);
///     group.all_reduce(tensor);
class Heartbeat::Waiting {
 public:
  explicit Waiting(Heartbeat& heartbeat) : signs_(heartbeat.signs_) { change(1); }
  ~Waiting() { change(-1); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  /// Beginning or ending to wait counts as progress.
  void change(int32_t by) {
    signs_.waits.fetch_add(by, std::memory_order_relaxed);
    signs_.steps.fetch_add(1, std::memory_order_relaxed);
  }

  HeartbeatSigns& signs_;
};

}  // namespace levin
