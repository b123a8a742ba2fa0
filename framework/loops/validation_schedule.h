#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Says when validation is due within training, from val_check_interval and
/// check_val_every_n_epoch. Lightning: _TrainingEpochLoop._should_check_val_fx.
///
///     ValidationSchedule schedule({.val_check_interval = 0.5}, /*num_batches=*/100);
///     schedule.is_due(/*epoch=*/0, /*batches=*/50, /*total=*/50, /*is_last=*/false);     // true
///
/// It has no state of its own; the caller counts the batches.
class ValidationSchedule {
 public:
  /// `num_batches` is the number of training batches of an epoch, if that is known. Throws
  /// ConfigError if the interval is longer than the epoch, or if it is a fraction below 1 and the
  /// epoch's length isn't known.
  ValidationSchedule(const TrainerOptions& options, std::optional<int64_t> num_batches);

  /// Whether to validate after `batches` batches of epoch `epoch`, which counts from 0. `total` is
  /// the number of batches over all epochs, which counts if check_val_every_n_epoch is null.
  /// `is_last` says that the epoch ends with this batch. False if the interval is a time
  /// (ValidationClock).
  bool is_due(int64_t epoch, int64_t batches, int64_t total, bool is_last) const;
  /// Whether check_val_every_n_epoch lets validation take place in that epoch.
  bool is_allowed(int64_t epoch) const {
    return !every_n_epochs_ || (epoch + 1) % *every_n_epochs_ == 0;
  }

 private:
  std::optional<int64_t> every_n_epochs_;
  int64_t every_n_batches_ = 0;  // 0: only after an epoch's last batch
  bool goes_by_time_ = false;
};

}  // namespace levin
