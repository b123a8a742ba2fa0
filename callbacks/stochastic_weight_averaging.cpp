#include <levin/callbacks/stochastic_weight_averaging.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <levin/callbacks/batch_norms.h>
#include <levin/callbacks/batch_optimizer.h>
#include <levin/callbacks/whole_model.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

constexpr const char* kSwa = "StochasticWeightAveraging";

}  // namespace

StochasticWeightAveraging::StochasticWeightAveraging(StochasticWeightAveragingOptions options)
    : options_(std::move(options)) {
  validate(options_);
}

StateDict StochasticWeightAveraging::state_dict() const {
  StateDict state;
  state.values["rates_before"] = rates_.to_values();
  state.values["is_exchanged"] = is_exchanged_;
  state.add("weights", average_.state_dict());
  return state;
}

void StochasticWeightAveraging::load_state_dict(const StateDict& state) {
  rates_.load_values(state.values.at("rates_before").as_array());
  average_.load_state_dict(state.child("weights"));
  is_exchanged_ = state.values.at("is_exchanged").as_bool();
  resumed_ = true;
}

void StochasticWeightAveraging::on_fit_start(Run& run) {
  require_batch_optimizer(kSwa, run);
  require_whole_model(kSwa, "checkpoints would have the average of one rank alone", run);
  const auto& max_epochs = run.progress().max_epochs;
  int64_t start = 0;
  if (options_.swa_epoch_start.is_count()) {
    start = options_.swa_epoch_start.count();
  } else if (max_epochs) {
    start = static_cast<int64_t>(options_.swa_epoch_start.fraction() *
                                 static_cast<double>(*max_epochs));
  } else {
    throw ConfigError::conflict(
        fmt::format("{}.swa_epoch_start = {} without max_epochs", kSwa,
                    options_.swa_epoch_start.fraction()),
        "set it to the number of an epoch, or set max_epochs of the Trainer");
  }
  first_epoch_ = std::max<int64_t>(start - 1, 0);
  rates_.check(options_, run);
  if (!std::exchange(resumed_, false)) {
    average_ = {};
    rates_.clear();
    is_exchanged_ = false;
  }
  average_.bind(run.module(), /*use_buffers=*/true, options_.device);
  if (std::exchange(is_exchanged_, false)) average_.exchange();
}

void StochasticWeightAveraging::on_train_epoch_start(Run& run) {
  if (run.epoch() >= first_epoch_) rates_.set(options_, run.epoch() - first_epoch_, run);
}

void StochasticWeightAveraging::on_train_batch_start(const Batch&, Step& step) {
  if (step.epoch() >= first_epoch_) rates_.set(options_, step.epoch() - first_epoch_, step.run());
}

void StochasticWeightAveraging::on_train_epoch_end(Run& run) {
  if (run.epoch() < first_epoch_ || run.progress().has_batches_left()) return;
  if (avg_fn_ && average_.count() > 0) return average_.add(avg_fn_);
  average_.add(1.0 / static_cast<double>(average_.count() + 1));
}

void StochasticWeightAveraging::on_train_end(Run& run) {
  if (average_.count() == 0 || run.history().interrupted) return;
  average_.exchange();
  is_exchanged_ = true;
  if (has_batch_norms(run.module())) update_batch_norms(run);
}

void StochasticWeightAveraging::on_save_checkpoint(StateDict& checkpoint, Run&) {
  // The state may be that before on_train_end, whose tensors share the memory of the present ones.
  Value& all = checkpoint.values;
  if (!all.contains("callbacks") || !all.at("callbacks").contains(state_key())) return;
  all["callbacks"][state_key()]["is_exchanged"] = is_exchanged_;
}

}  // namespace levin
