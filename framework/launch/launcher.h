#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// How `launch` starts the ranks of this host.
struct LaunchOptions {
  /// The number of ranks to start on this host.
  int64_t processes = 1;
  /// The number of hosts. `launch` is called once on each.
  int64_t num_nodes = 1;
  /// The number of this host, from 0 to num_nodes - 1. Rank 0 is on host 0.
  int64_t node_rank = 0;
  /// The host name or IP address of host 0. May be empty if there is only one host.
  std::string master_address{};
  /// The TCP port at which rank 0 listens. With 0, a free port is chosen. With several hosts, give
  /// all of them the same port.
  int64_t master_port = 0;
  /// How many times all ranks are restarted after a failure before `launch` gives up.
  int64_t max_restarts = 0;
  /// The folder that receives the output of the ranks other than 0. Rank r's output is appended to
  /// `rank-r.out` and `rank-r.err`. If empty, the output appears on this process's own stdout and
  /// stderr, each line prefixed with "[rank r] ". Rank 0 always uses stdout and stderr.
  std::string output_folder{};
  /// How long, in seconds, the remaining ranks may run after one of them failed. They use the time
  /// to notice the failure and to report their own; then they are killed.
  double grace_seconds = 1.0;
  /// The program to run and its arguments. If empty, this process's own program and arguments.
  std::vector<std::string> command{};
};

/// Runs the program once for each rank of this host, waits until all have ended, and returns the
/// exit status that the calling process should end with.
///
///     levin::LaunchOptions options{.processes = 4, .command = {"./train", "--epochs=5"}};
///     return levin::launch(options);
///
/// A Trainer with `.devices = 4` calls this itself. The calling process only supervises: it passes
/// signals on and prints output. Rank 0 inherits stdin, stdout and stderr; the stdin of the other
/// ranks is /dev/null.
///
/// Each rank finds these variables in its environment: LEVIN_LAUNCHED=1, RANK, WORLD_SIZE,
/// LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, GROUP_WORLD_SIZE, MASTER_ADDR, MASTER_PORT,
/// LEVIN_RESTART_COUNT, LEVIN_MAX_RESTARTS, LEVIN_RUN_ID and, if the variable is set or all ranks
/// are on this host, LEVIN_RUN_SECRET (which find_cluster reads), LEVIN_ERROR_FILE (which
/// report_failure writes), and OMP_NUM_THREADS: the number of this host's cores divided by the
/// number of its ranks, unless the user has set it.
///
/// The return value:
/// - If every rank ends with status 0, 0.
/// - After SIGINT, SIGTERM or SIGHUP, 130. The first such signal is passed on to every rank, which
///   saves a checkpoint and ends. Another one, at least a second later, kills the ranks; the status
///   is then 128 plus its number.
/// - If a rank fails, that rank's exit status, or 128 plus the number of the signal that ended it.
///   The other ranks are killed after `grace_seconds`. The last line on stderr names the rank that
///   failed first, rather than one that failed as a consequence, and gives its message or signal.
///   As long as `max_restarts` allows, all ranks are restarted instead, unless the failure was a
///   ConfigError (status 2), which would only repeat itself.
///
/// The ranks are killed if the calling process is killed. Call this on the main thread, or on one
/// that lives as long, because the ranks are also killed when the calling thread ends. Throws
/// ConfigError if an option is out of range and DistributedError if the program can't be started.
int launch(const LaunchOptions& options);

}  // namespace levin
