#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/launch/child_process.h>
#include <levin/framework/launch/launcher.h>
#include <levin/framework/launch/output_pump.h>
#include <levin/framework/launch/reserved_port.h>
#include <levin/framework/launch/supervisor_signals.h>

namespace levin {

/// The implementation of `launch`: starts the ranks of this host, passes signals to them, prints
/// their output, restarts them, and determines which rank failed first.
///
///     Supervisor supervisor(options);
///     return supervisor.run();
///
/// The object lives on the thread that calls `launch`; it starts no threads. It waits for signals
/// and output in `poll`. A rank that fails writes a report (failure_report.h), which is read when
/// the rank has ended.
class Supervisor {
 public:
  /// `options` must be valid and outlive this object. Takes over the process's signal actions.
  /// Throws DistributedError if the program can't be found or ranks are being launched already, and
  /// CheckpointError if the folder for output can't be made.
  explicit Supervisor(const LaunchOptions& options);
  /// Kills the ranks that are still running, for example after an exception, and waits for them.
  ~Supervisor();

  /// Runs the ranks until they have ended for good, restarts included, and returns the exit status
  /// of `launch`. Call it once. Throws DistributedError if a rank can't be started.
  int run();

 private:
  /// The process of one rank.
  struct Rank {
    int64_t number = 0;
    pid_t process = -1;
    std::filesystem::path error_file{};  // written by the rank if it fails
    std::optional<ChildEnd> end{};       // nothing while the process runs
    double ended_at = 0;                 // in files::monotonic_seconds()
    /// By this supervisor: another rank failed, or a second stop signal arrived.
    bool was_killed = false;

    /// Whether the process was started and hasn't ended.
    bool runs() const { return process > 0 && !end; }
  };
  /// A rank that failed, and what is known about it.
  struct Failure {
    int64_t rank = 0;
    /// The exit status that `launch` returns because of this failure.
    int status = 1;
    /// The message of the rank's report or, without a report, how its process ended.
    std::string reason{};
    bool is_secondary = false;  // it failed as a consequence of another rank's failure
    double seconds = 0;         // when it failed, in files::monotonic_seconds()
  };

  /// `attempt` is 0 for the first start and counts restarts.
  void start_ranks(int64_t attempt);
  /// Starts one process with its environment, and connects its output to the pump or to files.
  void start_rank(Rank& rank, int64_t local_rank, int64_t attempt, int64_t port);
  /// Opens `rank-r.ENDING` in the output folder.
  Descriptor open_output(const Rank& rank, const char* ending) const;

  /// Returns when all ranks have ended.
  void wait_for_ranks();
  /// Waits for a signal, for output, or for the deadline, but at most 250 ms.
  void wait_for_something();
  /// Passes the first SIGINT, SIGTERM or SIGHUP on to the ranks, and kills them after the second.
  void pass_on_stops();
  /// Notes which ranks have ended, and sets the deadline for the others after a failure.
  void collect_ends();
  /// Kills the ranks that are still running.
  void kill_ranks();
  /// Blocks until all output is written, unless the user has sent a second stop signal.
  void write_what_waits();
  /// Whether any rank is still running.
  bool any_runs() const;
  /// Whether the ranks were asked to stop, through this process or directly.
  bool is_interrupted() const;

  /// Nothing if the rank succeeded, stopped because it was asked to, or was killed by this
  /// supervisor without having reported a failure of its own.
  std::optional<Failure> failure_of(const Rank& rank) const;
  /// The earliest failure. One that another rank caused counts only if there is no other.
  std::optional<Failure> first_failure() const;
  /// The exit status of `launch`.
  int finish(const std::optional<Failure>& failure) const;

  /// The caller's; see the constructor.
  const LaunchOptions& options_;
  /// `options_.output_folder` with the user's home folder in place of a `~`.
  const std::filesystem::path output_folder_;
  SupervisorSignals signals_;
  /// Prints the output of the ranks other than 0.
  OutputPump pump_;
  /// What each rank runs, without its environment.
  ChildCommand command_;
  /// The id that all ranks of the run share, also over restarts.
  std::string run_id_;
  /// The secret that they share; empty if the run has several hosts and the user has set none.
  std::string secret_;
  std::filesystem::path report_folder_;  // created by the first rank that fails
  /// Held while ranks run, if the port is chosen here.
  std::optional<ReservedPort> port_;
  std::vector<Rank> ranks_;
  bool passed_on_ = false;          // the first stop signal was sent to the ranks
  std::optional<double> deadline_;  // when the ranks that are still running are killed
};

}  // namespace levin
