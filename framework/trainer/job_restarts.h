#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/checkpoint/restart_record.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Lets a fit go on from its last checkpoint if the launcher has restarted the ranks of its job.
/// Such a job keeps a RestartRecord in the folder of its runs, which only rank 0 reads and writes.
/// In a job whose launcher never restarts ranks, this class does nothing.
///
///     const std::string path = restarts.begin_fit(strategy, ckpt_path);    // on every rank
///     ...                                                                  // train from `path`
///     restarts.end_fit(/*interrupted=*/false);
class JobRestarts {
 public:
  /// `run` tells this object of checkpoints, and must outlive it.
  explicit JobRestarts(RunControl& run) : run_(run) {}

  /// Begins a fit, and returns the checkpoint from which it has to go on: the last one that the
  /// same fit saved before the ranks were restarted or, if there is none, `ckpt_path`, which may be
  /// empty. From now on each complete checkpoint that the fit saves is recorded. A program's fits
  /// are told apart by their order. `folders` are those outside of the runs' folder to which the
  /// fit saves checkpoints. All ranks have to call this, and all get the same path.
  std::string begin_fit(Strategy& strategy, const std::string& ckpt_path,
                        const std::vector<std::filesystem::path>& folders = {});
  /// Ends the fit. Unless it was `interrupted` by a signal, a later start of the job doesn't go on
  /// from its checkpoint.
  void end_fit(bool interrupted);

 private:
  /// Records a checkpoint that was saved.
  void note_saved(const std::filesystem::path& path);
  /// Writes to the record. If that fails, training goes on, and a warning says so once for each
  /// fit; `consequence` says what a restart would do then.
  void note(std::string_view consequence, const std::function<void()>& write);

  RunControl& run_;
  bool has_warned_ = false;
  int64_t fit_ = 0;                        // the number of the fit among those of this program
  std::optional<RestartRecord> restarts_;  // only on rank 0
};

/// Returns the folders outside of the runs' folder to which the callbacks save checkpoints.
std::vector<std::filesystem::path> checkpoint_folders(const std::vector<Callback*>& callbacks);

/// Gives every rank the random generators of rank 0. During a fit each rank draws random numbers of
/// its own; afterwards all ranks have to draw the same ones again. All ranks have to call this.
void draw_as_rank_zero(Ranks& ranks);

}  // namespace levin
