#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/loops/validation_clock.h>
#include <levin/framework/loops/validation_schedule.h>
#include <levin/framework/optimizers/schedules.h>

namespace levin {

/// The validation within a fit: it knows when a validation is due, and makes the pass over the
/// validation data. During the pass the module is in evaluation mode and no gradients are recorded.
///
///     validation.check_sanity();                     // before training
///     ...
///     validation.count_batch();                      // after each training batch
///     if (validation.is_due(is_last, at_boundary)) validation.run();
class Validation {
 public:
  /// `num_batches` is the number of training batches of an epoch, if that is known. Keeps
  /// `schedules`, which must outlive this object. Throws ConfigError if limit_val_batches or
  /// val_check_interval doesn't fit the data.
  Validation(LoopParts parts, DataLoaders loaders, Schedules& schedules,
             std::optional<int64_t> num_batches);

  /// Validates on other data from now on. Throws what the constructor throws.
  void set_loaders(DataLoaders loaders, std::optional<int64_t> num_batches);

  /// Whether there are validation batches at all. If not, `run` and `check_sanity` do nothing.
  bool has_batches() const { return loop_.has_batches(); }

  /// Tries num_sanity_val_steps batches of each loader before training begins, so that an error in
  /// validation_step shows at once, and warns if a scheduler watches a metric that isn't among
  /// those logged but, by its name, should be. Metrics and requests of callbacks are dropped
  /// afterwards, and the random generators are put back as they were. A collective.
  void check_sanity();

  /// Starts the clock of a val_check_interval that is a time. To be called when training begins.
  void start_clock() { clock_.start(); }
  /// Counts a training batch. The count goes on from epoch to epoch.
  void count_batch() { ++total_batches_; }
  /// Whether to validate after the batch that was counted last. `is_last` says that it is the last
  /// batch of the epoch, `at_boundary` that it ends a window of accumulation; only then is the
  /// clock asked, which every rank has to do after each step.
  bool is_due(bool is_last, bool at_boundary);

  /// Puts the count of batches, and the clock if it is used, into a checkpoint's values, and takes
  /// them from there.
  void save_to(Value& values) const;
  void load_from(const Value& values);

  /// The number of further batches, at most `most`, after which validation is due, if none of them
  /// is the last one of the epoch; `most` if it isn't due before.
  int64_t batches_until_due(int64_t most) const;

  /// Validates on all validation data, up to limit_val_batches. Afterwards the Run shows the
  /// metrics. A collective.
  void run();
  /// Whether every metric that validation logs has been logged: there was a validation, or there is
  /// none in this fit.
  bool has_logged() const { return has_run_ || !has_batches(); }

 private:
  LoopParts parts_;
  Schedules& schedules_;
  EvaluationLoop loop_;
  ValidationSchedule schedule_;
  ValidationClock clock_;
  int64_t total_batches_ = 0;
  bool has_run_ = false;
};

}  // namespace levin
