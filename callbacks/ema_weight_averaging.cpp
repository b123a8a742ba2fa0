#include <levin/callbacks/ema_weight_averaging.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(EMAWeightAveragingOptions& o) {
  return fields_of<EMAWeightAveragingOptions>({
      {"decay", &o.decay, "the share of the old average in the new one"},
      {"use_buffers", &o.use_buffers, "average the buffers, too, such as batch norms' statistics"},
      {"update_every_n_steps", &o.update_every_n_steps,
       "update the average after every n-th optimizer step; 0: after none"},
      {"update_starting_at_step", &o.update_starting_at_step,
       "the first step, from 0, after which the average may be updated"},
      {"update_starting_at_epoch", &o.update_starting_at_epoch,
       "the first epoch, from 0, at whose end the average is updated; null: at none"},
  });
}

EMAWeightAveraging::EMAWeightAveraging(EMAWeightAveragingOptions options)
    : WeightAveraging({.use_buffers = options.use_buffers}), options_(std::move(options)) {
  const auto refuse = [](const char* option, auto value, const char* requirement) {
    throw ConfigError::invalid_value(fmt::format("EMAWeightAveraging.{}", option),
                                     fmt::to_string(value), requirement);
  };
  if (!(options_.decay >= 0.0 && options_.decay < 1.0)) {
    refuse("decay", options_.decay, "must be at least 0 and below 1");
  }
  if (options_.update_every_n_steps < 0) {
    refuse("update_every_n_steps", options_.update_every_n_steps,
           "must be at least 1, or 0 for no step");
  }
  if (options_.update_starting_at_step.value_or(0) < 0) {
    refuse("update_starting_at_step", *options_.update_starting_at_step, "must be at least 0");
  }
  if (options_.update_starting_at_epoch.value_or(0) < 0) {
    refuse("update_starting_at_epoch", *options_.update_starting_at_epoch, "must be at least 0");
  }
  if (options_.update_every_n_steps == 0 && !options_.update_starting_at_epoch) {
    refuse("update_every_n_steps", 0,
           "the average would never be updated: set it to 1 or more, or set "
           "update_starting_at_epoch");
  }
}

bool EMAWeightAveraging::updates_after_step(int64_t step) const {
  return options_.update_every_n_steps > 0 && step % options_.update_every_n_steps == 0 &&
         step >= options_.update_starting_at_step.value_or(0);
}

bool EMAWeightAveraging::updates_after_epoch(int64_t epoch) const {
  return options_.update_starting_at_epoch && epoch >= *options_.update_starting_at_epoch;
}

}  // namespace levin
