#include <levin/framework/launch/rank_environment.h>

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include <levin/framework/core/cores.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

/// Returns `ours` plus those variables of this process that `ours` doesn't replace, without
/// torchrun's.
std::vector<std::string> environment_with(std::vector<std::string> ours) {
  for (char** each = ::environ; *each != nullptr; ++each) {
    const std::string_view entry = *each;
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    const bool replaced = std::any_of(ours.begin(), ours.end(), [&](const std::string& own) {
      return own.compare(0, name.size(), name) == 0;
    });
    if (!replaced && !name.starts_with("TORCHELASTIC_")) ours.emplace_back(entry);
  }
  return ours;
}

}  // namespace

std::vector<std::string> rank_environment(const LaunchOptions& options, const RankPlace& place) {
  const auto& address = options.master_address;
  std::vector<std::string> ours = {
      "LEVIN_LAUNCHED=1",
      fmt::format("RANK={}", place.rank),
      fmt::format("WORLD_SIZE={}", options.processes * options.num_nodes),
      fmt::format("LOCAL_RANK={}", place.local_rank),
      fmt::format("LOCAL_WORLD_SIZE={}", options.processes),
      fmt::format("GROUP_RANK={}", options.node_rank),
      fmt::format("GROUP_WORLD_SIZE={}", options.num_nodes),
      fmt::format("MASTER_ADDR={}", address.empty() ? "127.0.0.1" : address),
      fmt::format("MASTER_PORT={}", place.master_port),
      fmt::format("LEVIN_RESTART_COUNT={}", place.attempt),
      fmt::format("LEVIN_MAX_RESTARTS={}", options.max_restarts),
      fmt::format("LEVIN_RUN_ID={}", place.run_id),
      fmt::format("LEVIN_ERROR_FILE={}", place.error_file.string()),
  };
  if (!place.secret.empty()) ours.push_back("LEVIN_RUN_SECRET=" + place.secret);
  if (std::getenv("OMP_NUM_THREADS") == nullptr && options.processes > 1) {
    const int64_t threads = std::max<int64_t>(1, usable_cores() / options.processes);
    ours.push_back(fmt::format("OMP_NUM_THREADS={}", threads));
  }
  return environment_with(std::move(ours));
}

std::string random_name() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    number = static_cast<uint64_t>(files::wall_seconds() * 1e6) ^
             (static_cast<uint64_t>(::getpid()) << 44);
  }
  return fmt::format("{:016x}", number);
}

std::filesystem::path temporary_folder() {
  std::error_code code;
  std::filesystem::path root = "/dev/shm";
  if (std::getenv("TMPDIR") != nullptr || ::access(root.c_str(), W_OK | X_OK) != 0) {
    root = std::filesystem::temp_directory_path(code);
    if (code) root = "/tmp";
  }
  return root / ("levin-" + random_name());
}

}  // namespace levin
