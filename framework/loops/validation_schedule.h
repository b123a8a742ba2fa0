#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// When validation is due within training, by val_check_interval and check_val_every_n_epoch.
/// Lightning: _TrainingEpochLoop._should_check_val_fx.
class ValidationSchedule {
 public:
  /// `num_batches`: training batches of an epoch, if known. Throws ConfigError if the interval is
  /// longer than the epoch, or is a fraction and the epoch's length isn't known.
  ValidationSchedule(const TrainerOptions& options, std::optional<int64_t> num_batches);

  /// Whether to validate after `batches` batches of epoch `epoch`, which counts from 0. `total` is
  /// the number of batches over all epochs, and `is_last` says that the epoch ends here.
  bool is_due(int64_t epoch, int64_t batches, int64_t total, bool is_last) const;

 private:
  std::optional<int64_t> every_n_epochs_;
  int64_t every_n_batches_ = 0;  // 0: only after an epoch's last batch
};

}  // namespace levin
