#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <levin/framework/checkpoint/restart_record.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Lets a fit go on from its last checkpoint if the ranks of its job were started again. Such a job
/// keeps a RestartRecord in the folder of its runs, which only rank 0 reads and writes. Nothing
/// happens in a job whose launcher never starts ranks again.
class JobRestarts {
 public:
  explicit JobRestarts(RunControl& run) : run_(run) {}

  /// A fit begins. Returns the checkpoint that it has to go on from: the last one that the same fit
  /// saved before the ranks were started again, or else `ckpt_path`. From now on each checkpoint
  /// that the fit saves is recorded.
  std::string begin_fit(Strategy& strategy, const std::string& ckpt_path);
  /// The fit has ended. One that was not `interrupted` won't be gone on with.
  void end_fit(bool interrupted);

 private:
  RunControl& run_;
  int64_t fit_ = 0;                        // the number of the fit among those of this program
  std::optional<RestartRecord> restarts_;  // only on rank 0
};

/// Returns the loaders with as many rows a step as those that `checkpoint` was written with, if
/// that run had another number of ranks; else the loaders as they are.
DataLoaders with_rows_a_step_of(const StateDict& checkpoint, const DataLoaders& loaders,
                                RankShare rank_share);

/// Gives every rank the random generators of rank 0. During a fit each rank draws numbers of its
/// own; afterwards all have to draw the same again.
void draw_as_rank_zero(Ranks& ranks);

}  // namespace levin
