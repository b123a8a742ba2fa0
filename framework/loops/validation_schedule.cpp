#include <levin/framework/loops/validation_schedule.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

ValidationSchedule::ValidationSchedule(const TrainerOptions& options,
                                       std::optional<int64_t> num_batches)
    : every_n_epochs_(options.check_val_every_n_epoch) {
  const auto& interval = options.val_check_interval;
  if (interval.is_time()) {
    goes_by_time_ = true;
  } else if (interval.is_count()) {
    every_n_batches_ = interval.count();
    if (every_n_epochs_ && num_batches && every_n_batches_ > *num_batches) {
      throw ConfigError::invalid_value(
          "val_check_interval", std::to_string(every_n_batches_),
          fmt::format("an epoch has only {} batches; set check_val_every_n_epoch to null to count "
                      "batches across epochs",
                      *num_batches));
    }
  } else if (interval.fraction() < 1.0) {
    if (!num_batches) {
      throw ConfigError::invalid_value("val_check_interval", fmt::format("{}", interval.fraction()),
                                       "the loader's length isn't known; give a whole number");
    }
    const double share = static_cast<double>(*num_batches) * interval.fraction();
    every_n_batches_ = std::max<int64_t>(1, static_cast<int64_t>(share));
  }
}

bool ValidationSchedule::is_due(int64_t epoch, int64_t batches, int64_t total, bool is_last) const {
  if (goes_by_time_) return false;
  if (!every_n_epochs_) return every_n_batches_ > 0 && total % every_n_batches_ == 0;
  if (!is_allowed(epoch)) return false;
  return every_n_batches_ == 0 ? is_last : batches % every_n_batches_ == 0;
}

}  // namespace levin
