#include <levin/callbacks/checkpoint_schedule.h>

#include <utility>

#include <levin/framework/core/files.h>
#include <levin/framework/run/run.h>

namespace levin {

CheckpointSchedule::CheckpointSchedule(std::optional<int64_t> every_n_steps,
                                       std::optional<double> every_n_minutes,
                                       std::optional<int64_t> every_n_epochs)
    : every_n_steps_(every_n_steps.value_or(0)),
      interval_seconds_(every_n_minutes.value_or(0.0) * 60.0),
      every_n_epochs_(every_n_epochs.value_or(is_within_epochs() ? 0 : 1)) {}

void CheckpointSchedule::start(const Run& run) {
  seen_step_ = run.global_step();
  if (interval_seconds_ > 0.0) next_save_ = files::monotonic_seconds() + interval_seconds_;
}

bool CheckpointSchedule::is_due_after_step(Run& run, const std::string& who) {
  if (!is_within_epochs()) return false;
  const int64_t global_step = run.global_step();
  if (global_step == seen_step_) return false;  // gradients are still being accumulated
  const int64_t before = std::exchange(seen_step_, global_step);
  // A batch may have had several steps, the last of which needn't be a multiple.
  if (every_n_steps_ > 0) return global_step / every_n_steps_ > before / every_n_steps_;
  const double now = files::monotonic_seconds();
  if (!run.ranks().any_after_step(who, now >= next_save_)) return false;
  next_save_ = now + interval_seconds_;
  return true;
}

bool CheckpointSchedule::is_due_after_epoch(int64_t epoch) const {
  return every_n_epochs_ > 0 && (epoch + 1) % every_n_epochs_ == 0;
}

}  // namespace levin
