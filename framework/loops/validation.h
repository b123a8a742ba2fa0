#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/loops/validation_schedule.h>
#include <levin/framework/optimizers/schedules.h>

namespace levin {

/// The validation within a fit: when it is due, the pass over the validation data, and the
/// schedulers that act on its metrics. During it the module is in evaluation mode and no gradients
/// are recorded.
class Validation {
 public:
  /// `num_batches`: training batches of an epoch, if known. Throws ConfigError if limit_val_batches
  /// or val_check_interval doesn't fit the data.
  Validation(LoopParts parts, DataLoaders loaders, Schedules& schedules,
             std::optional<int64_t> num_batches);

  /// Whether there are validation batches at all. If not, `run` and `check_sanity` do nothing.
  bool has_batches() const { return loop_.has_batches(); }

  /// Tries num_sanity_val_steps batches before training begins, so that an error in validation_step
  /// shows at once. Leaves no trace: no metrics, no requests, and random generators as they were.
  void check_sanity();

  /// Counts a training batch. The count goes on from epoch to epoch; checkpoints hold it.
  void count_batch() { ++total_batches_; }
  int64_t total_batches() const { return total_batches_; }
  void set_total_batches(int64_t batches) { total_batches_ = batches; }
  /// Whether to validate after the batch last counted; `is_last` says that the epoch ends with it.
  bool is_due(bool is_last) const;

  /// Validates. Afterwards the Run shows the metrics, and the schedulers that watch a metric and
  /// act by steps have been told of them.
  void run();

 private:
  LoopParts parts_;
  Schedules& schedules_;
  EvaluationLoop loop_;
  ValidationSchedule schedule_;
  int64_t total_batches_ = 0;
};

}  // namespace levin
