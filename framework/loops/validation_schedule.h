#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// When validation is due within training: val_check_interval and check_val_every_n_epoch.
class ValidationSchedule {
 public:
  /// `num_batches`: training batches an epoch, where known. Throws ConfigError where the interval
  /// is longer than the epoch, or a fraction of an unknown length.
  ValidationSchedule(const TrainerOptions& options, std::optional<int64_t> num_batches);

  /// Whether to validate after `batches` batches of `epoch` (from 0); `total` counts the batches of
  /// all epochs, and `is_last` says that the epoch ends here.
  bool is_due(int64_t epoch, int64_t batches, int64_t total, bool is_last) const;

 private:
  std::optional<int64_t> every_n_epochs_;
  int64_t every_n_batches_ = 0;  // 0: only after an epoch's last batch
};

}  // namespace levin
