#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// How `launch` starts the ranks of this host.
struct LaunchOptions {
  /// How many ranks this host has.
  int64_t processes = 1;
  int64_t num_nodes = 1;
  /// The number of this host, from 0; rank 0 is on host 0.
  int64_t node_rank = 0;
  /// Where rank 0 is found by the others; "": this host, which is all there is.
  std::string master_address{};
  /// 0: a free one. With several hosts all have to be told the same one.
  int64_t master_port = 0;
  /// How often all ranks are started again after a failure.
  int64_t max_restarts = 0;
  /// Where rank r's output goes, to `rank-r.out` and `rank-r.err` (added to what is there); "": to
  /// this process's own, line by line, each after "[rank r] ". Never rank 0's.
  std::string output_folder{};
  /// Seconds the other ranks have to notice a rank's failure and say why they fail too; then they
  /// are killed.
  double grace_seconds = 1.0;
  /// The program and its arguments; empty: this process's own.
  std::vector<std::string> command{};
};

/// Runs the program once for each rank and returns, when all have ended, the status to exit with.
///
/// The process that calls only watches. Rank 0 has its stdin, stdout and stderr; the others read
/// nothing. Each rank finds in its environment LEVIN_LAUNCHED=1, RANK, WORLD_SIZE, LOCAL_RANK,
/// LOCAL_WORLD_SIZE, GROUP_RANK, GROUP_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, LEVIN_RESTART_COUNT,
/// LEVIN_MAX_RESTARTS, LEVIN_RUN_ID (what find_cluster reads), LEVIN_ERROR_FILE (for
/// report_failure), and OMP_NUM_THREADS: this host's cores shared out, unless the user set it.
///
/// - All ranks end with 0: 0.
/// - SIGINT or SIGTERM is passed on, once, to every rank, which saves and ends with 130: 130. The
///   next one kills them: 128 + its number.
/// - A rank ends otherwise: the others are killed `grace_seconds` later, where they haven't ended
///   by then. The last line on stderr names the first rank that failed, not one that failed because
///   of it, and its message or signal; its exit status is returned, or 128 + its signal. With
///   `max_restarts`, all ranks are started again instead, except after a ConfigError (status 2).
///
/// Where the calling process itself is killed, so are the ranks. Call it on the main thread, or one
/// that lives as long. Throws ConfigError for options that can't be, DistributedError where the
/// program can't be started.
int launch(const LaunchOptions& options);

}  // namespace levin
