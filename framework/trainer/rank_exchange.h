#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/restart_record.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// What the ranks of a Trainer's runs tell each other outside their steps: which folder, which
/// checkpoint, what rank 0 decided. One process asks itself.
class RankExchange {
 public:
  /// `root`: where run folders go.
  RankExchange(RunControl& run, std::filesystem::path root);

  /// A stage begins: what is shared from now on has names of its own, and the profiler, if any,
  /// knows the ranks. `has_folder`: whether the run may write.
  void begin(Strategy& strategy, Profiler* profiler, bool has_folder);
  /// The checkpoint a fit goes on from: what it saved last, where the ranks of this job were
  /// started before, else `ckpt_path`.
  std::string begin_fit(const std::string& ckpt_path);
  /// The fit that began has ended: while it trained each rank drew random numbers of its own, from
  /// now on all draw rank 0's again.
  void end_fit(bool interrupted);

 private:
  std::filesystem::path make_log_dir();
  std::string share(const std::string& key, const std::function<std::string()>& make);
  bool any_rank(const std::string& key, bool raised);

  RunControl& run_;
  std::filesystem::path root_;
  Strategy* strategy_ = nullptr;
  int64_t stages_ = 0;
  int64_t fit_ = 0;                        // the number of this program's fit
  std::map<std::string, int64_t> shared_;  // calls of share in this stage
  std::vector<std::string> flags_;         // keys of any_rank, in the order of first use
  std::optional<RestartRecord> restarts_;  // of a job whose ranks may be started again, on rank 0
};

/// The loaders with as many rows a step as those that `checkpoint` was written with, where that run
/// had another number of ranks.
DataLoaders with_rows_a_step_of(const StateDict& checkpoint, const DataLoaders& loaders,
                                RankShare rank_share);

}  // namespace levin
