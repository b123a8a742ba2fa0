#include <levin/callbacks/learning_rate_finder.h>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>

namespace levin {

Fields describe(LearningRateFinderOptions& o) {
  return fields_of<LearningRateFinderOptions>({
      {"min_lr", &o.min_lr, "the learning rate of the trial's first step"},
      {"max_lr", &o.max_lr, "and that of its last one"},
      {"num_training_steps", &o.num_training_steps, "the optimizer steps of the trial"},
      {"mode", &o.mode, "\"exponential\" or \"linear\": how the rate rises"},
      {"early_stop_threshold", &o.early_stop_threshold,
       "ends the trial if the loss is this many times the lowest one; null: doesn't"},
      {"update_attr", &o.update_attr, "train with the rate that was found"},
  });
}

StateDict LearningRateFinder::state_dict() const {
  StateDict state;
  if (learning_rate_) {
    state.values[options_.update_attr ? "learning_rate" : "suggestion"] = *learning_rate_;
  }
  return state;
}

void LearningRateFinder::load_state_dict(const StateDict& state) {
  learning_rate_.reset();
  for (const char* name : {"learning_rate", "suggestion"}) {
    if (state.values.contains(name)) learning_rate_ = state.values.at(name).as_double();
  }
}

void LearningRateFinder::tune(const FitToTune& fit, TunedSettings& tuned) {
  found_ = lr_find(fit.options, fit.module, fit.data,
                   {.min_lr = options_.min_lr,
                    .max_lr = options_.max_lr,
                    .num_training = options_.num_training_steps,
                    .mode = options_.mode,
                    .early_stop_threshold = options_.early_stop_threshold},
                   fit.optimizers);
  learning_rate_ = found_.suggestion();
  if (!learning_rate_) {
    fit.run.warn(
        fmt::format("LearningRateFinder found no learning rate in {} steps, of which the first 10 "
                    "and the last one don't count, and the one that was set is used. Set "
                    "num_training_steps higher, or max_lr lower if the loss has exploded",
                    found_.losses.size()));
    return;
  }
  if (options_.update_attr) tuned.learning_rate = learning_rate_;
  if (fit.run.is_global_zero()) {
    diagnostics::print(fmt::format(
        "note: LearningRateFinder {} {:.4g}\n",
        options_.update_attr ? "sets the learning rate to" : "suggests the learning rate",
        *learning_rate_));
  }
}

}  // namespace levin
