#include <levin/callbacks/weight_averaging.h>

#include <fmt/format.h>

#include <levin/callbacks/batch_optimizer.h>
#include <levin/callbacks/whole_model.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/type_name.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>

namespace levin {

Fields describe(WeightAveragingOptions& o) {
  return fields_of<WeightAveragingOptions>({
      {"use_buffers", &o.use_buffers, "average the buffers, too, such as batch norms' statistics"},
  });
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
  if (run.ranks().train_alone()) {
    throw ConfigError::conflict(
        fmt::format("{} with model_averaging: each rank would average its own weights",
                    unqualified_name(typeid(*this))),
        "leave out one of the two; StochasticWeightAveraging averages what ranks have in common");
  }
  require_whole_model(unqualified_name(typeid(*this)),
                      "checkpoints would have the average of one rank alone", run);
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

}  // namespace levin
