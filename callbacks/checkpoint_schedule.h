#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace levin {

class Run;

/// When ModelCheckpoint saves: every so many optimizer steps, minutes or epochs.
class CheckpointSchedule {
 public:
  /// At most one of them is set to more than 0. If none is given, a checkpoint is due every epoch.
  CheckpointSchedule(std::optional<int64_t> every_n_steps, std::optional<double> every_n_minutes,
                     std::optional<int64_t> every_n_epochs);

  /// Whether checkpoints are due by steps or minutes.
  bool is_within_epochs() const { return every_n_steps_ > 0 || interval_seconds_ > 0.0; }
  /// Begins to count steps and minutes.
  void start(const Run& run);
  /// Whether a checkpoint is due after this step, by steps or by minutes. `who` distinguishes
  /// schedules when the ranks agree about the time. Must be called on every rank.
  bool is_due_after_step(Run& run, const std::string& who);
  /// Whether a checkpoint is due at the end of this epoch, counted from 0.
  bool is_due_after_epoch(int64_t epoch) const;

 private:
  int64_t every_n_steps_;
  double interval_seconds_;
  int64_t every_n_epochs_;
  int64_t seen_step_ = -1;  // the step that is_due_after_step saw last
  double next_save_ = 0.0;  // by minutes, in files::monotonic_seconds()
};

}  // namespace levin
