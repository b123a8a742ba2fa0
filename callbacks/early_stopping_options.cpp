#include <levin/callbacks/early_stopping.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(EarlyStoppingOptions& o) {
  return fields_of<EarlyStoppingOptions>({
      {"monitor", &o.monitor, "the metric to watch"},
      {"min_delta", &o.min_delta,
       "the value must change by more than this to count as an improvement"},
      {"patience", &o.patience,
       "consecutive checks without improvement after which training stops"},
      {"verbose", &o.verbose, "print the result of each check to stderr"},
      {"mode", &o.mode, "min if a smaller value is better, max if a larger one is"},
      {"strict", &o.strict, "treat a metric that is never logged as an error"},
      {"check_finite", &o.check_finite, "stop if the metric becomes NaN or infinite"},
      {"stopping_threshold", &o.stopping_threshold,
       "stop as soon as the metric is better than this value"},
      {"divergence_threshold", &o.divergence_threshold,
       "stop as soon as the metric is worse than this value"},
      {"check_on_train_epoch_end", &o.check_on_train_epoch_end,
       "check after each training epoch (true) or validation (false); null: whenever the metric "
       "has a new value"},
      {"restore_best_weights", &o.restore_best_weights,
       "restore the weights that had the best value when training ends"},
  });
}

void validate(const EarlyStoppingOptions& o) {
  if (!(o.min_delta >= 0.0)) {
    throw ConfigError::invalid_value(
        "EarlyStopping.min_delta", fmt::to_string(o.min_delta),
        "must be at least 0; set `mode` to choose which direction is better");
  }
  if (o.patience < 0) {
    throw ConfigError::invalid_value("EarlyStopping.patience", fmt::to_string(o.patience),
                                     "must be at least 0");
  }
}

}  // namespace levin
