#include <levin/callbacks/weight_averaging.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/solvers/online_learner.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

Fields describe(WeightAveragingOptions& o) {
  return fields_of<WeightAveragingOptions>({
      {"use_buffers", &o.use_buffers, "average the buffers, too, such as batch norms' statistics"},
  });
}

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

void require_batch_optimizer(const char* who, Run& run) {
  for (const auto& entry : run.optimizers().entries()) {
    const Optimizer* optimizer = entry.optimizer.get();
    if (dynamic_cast<const Solver*>(optimizer) == nullptr &&
        dynamic_cast<const OnlineLearner*>(optimizer) == nullptr) {
      continue;
    }
    throw ConfigError::conflict(
        fmt::format("{} with the optimizer {}, which doesn't step by gradients of batches", who,
                    optimizer->name()),
        "leave out the callback, or use an optimizer such as Adam or SGD");
  }
}

StateDict WeightAveraging::state_dict() const {
  StateDict state;
  state.values["last_step"] = last_step_;
  state.values["updated_at"] = updated_at_;
  state.add("weights", average_.state_dict());
  return state;
}

void WeightAveraging::load_state_dict(const StateDict& state) {
  last_step_ = state.values.at("last_step").as_int();
  updated_at_ = state.values.at("updated_at").as_int();
  average_.load_state_dict(state.child("weights"));
  resumed_ = true;
}

void WeightAveraging::on_fit_start(Run& run) {
  require_batch_optimizer("WeightAveraging", run);
  is_exchanged_ = false;
  if (!resumed_) {
    average_ = {};
    last_step_ = updated_at_ = -1;
  }
  average_.bind(run.module(), options_.use_buffers);
  // In a checkpoint, the two are in each other's place.
  if (resumed_ && average_.count() > 0) average_.exchange();
  if (last_step_ < 0) last_step_ = run.global_step();
  resumed_ = false;
  fitting_ = true;
}

void WeightAveraging::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  const int64_t done = step.global_step();
  if (done == last_step_) return;  // gradients are still being accumulated
  last_step_ = done;
  if (updates_after_step(done - 1)) update(done);
}

void WeightAveraging::on_train_epoch_end(Run& run) {
  if (run.progress().has_batches_left() || updated_at_ == run.global_step()) return;
  if (updates_after_epoch(run.epoch())) update(run.global_step());
}

void WeightAveraging::update(int64_t global_step) {
  average_.add(share(average_.count()));
  updated_at_ = global_step;
}

void WeightAveraging::exchange() {
  if (average_.count() == 0) return;
  average_.exchange();
  is_exchanged_ = !is_exchanged_;
}

void WeightAveraging::on_validation_start(Run&) {
  if (fitting_) exchange();
}

void WeightAveraging::on_validation_end(Run&) {
  if (fitting_ && is_exchanged_) exchange();
}

void WeightAveraging::on_train_end(Run&) {
  fitting_ = false;
  exchange();
}

void WeightAveraging::on_exception(const std::exception&, Run&) {
  if (fitting_ && is_exchanged_) exchange();
  fitting_ = false;
}

void WeightAveraging::on_save_checkpoint(StateDict& checkpoint, Run&) {
  if (average_.count() == 0 || is_exchanged_) return;
  average_.exchange_in(checkpoint, fmt::format("callbacks.{}.weights.", state_key()));
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
