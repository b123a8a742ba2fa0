#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/launch/launcher.h>

namespace levin {

/// The settings that differ between ranks or between restarts.
struct RankPlace {
  /// The number among all ranks, and among the ranks of this host.
  int64_t rank = 0;
  int64_t local_rank = 0;
  /// How many times the ranks have been restarted; 0 for the first start.
  int64_t attempt = 0;
  /// The port at which rank 0 listens.
  int64_t master_port = 0;
  /// An id that all ranks share and that stays the same over restarts.
  std::string run_id{};
  /// The secret that all ranks share (run_secret.h); empty if there is none.
  std::string secret{};
  /// The file that the rank writes if it fails. See failure_report.h.
  std::filesystem::path error_file{};
};

/// Returns the environment to start a rank with, each entry as NAME=VALUE.
///
/// It is this process's environment, without the variables of torchrun, plus the variables that
/// `launch` documents. Those replace variables of the same name.
std::vector<std::string> rank_environment(const LaunchOptions& options, const RankPlace& place);

/// Returns sixteen random hexadecimal digits, which no other run is likely to get.
std::string random_name();

/// Returns the path of a folder for this run's small files, which the caller has to create. The
/// folder is in memory (/dev/shm) unless TMPDIR is set or /dev/shm can't be written: a failing rank
/// has little time left, and syncing a file to a disk could take all of it.
std::filesystem::path temporary_folder();

}  // namespace levin
