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

/// What `launch` runs: starts the ranks, waits for them, and finds out who failed first.
class Supervisor {
 public:
  explicit Supervisor(const LaunchOptions& options);
  /// Leaves no rank behind, whatever happened.
  ~Supervisor();

  int run();

 private:
  struct Rank {
    int64_t number = 0;
    pid_t process = -1;
    std::filesystem::path error_file{};
    std::optional<ChildEnd> end{};
    double ended_at = 0;
    bool was_killed = false;  // by the supervisor

    bool runs() const { return process > 0 && !end; }
  };
  /// The rank to name, and why.
  struct Failure {
    int64_t rank = 0;
    int status = 1;
    std::string reason{};
    bool is_secondary = false;
    double seconds = 0;
  };

  void start_ranks(int64_t attempt);
  void start_rank(Rank& rank, int64_t local_rank, int64_t attempt, int64_t port);
  Descriptor open_output(const Rank& rank, const char* ending) const;

  void wait_for_ranks();
  void wait_for_something();
  void pass_on_stops();
  void collect_ends();
  void kill_ranks();
  void write_what_waits();
  bool any_runs() const;
  bool is_interrupted() const;

  std::optional<Failure> failure_of(const Rank& rank) const;
  std::optional<Failure> first_failure() const;
  int finish(const std::optional<Failure>& failure) const;

  const LaunchOptions& options_;
  SupervisorSignals signals_;
  OutputPump pump_;
  ChildCommand command_;
  std::string run_id_;
  std::filesystem::path report_folder_;  // made by the first rank that fails
  std::optional<ReservedPort> port_;
  std::vector<Rank> ranks_;
  bool passed_on_ = false;
  std::optional<double> deadline_;  // when the ranks that still run are killed
};

}  // namespace levin
