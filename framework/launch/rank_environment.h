#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/launch/launcher.h>

namespace levin {

/// What differs from rank to rank, and from one start to the next.
struct RankPlace {
  int64_t rank = 0;
  int64_t local_rank = 0;
  int64_t attempt = 0;
  int64_t master_port = 0;
  std::string run_id{};
  std::filesystem::path error_file{};
};

/// The environment a rank is started with, as NAME=VALUE: this process's, without what other
/// launchers left there, and what `launch` promises.
std::vector<std::string> rank_environment(const LaunchOptions& options, const RankPlace& place);

/// Sixteen random hexadecimal digits.
std::string random_name();

/// A folder for small files of this run alone, not there yet. In memory where that can be: syncing
/// them must not take what time a failing rank has.
std::filesystem::path temporary_folder();

}  // namespace levin
