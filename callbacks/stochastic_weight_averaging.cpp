#include <levin/callbacks/stochastic_weight_averaging.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include <levin/callbacks/batch_norms.h>
#include <levin/callbacks/batch_optimizer.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

constexpr const char* kSwa = "StochasticWeightAveraging";

[[noreturn]] void refuse_swa(const char* option, const std::string& value, const char* must) {
  throw ConfigError::invalid_value(fmt::format("{}.{}", kSwa, option), value, must);
}

}  // namespace

StochasticWeightAveraging::StochasticWeightAveraging(StochasticWeightAveragingOptions options)
    : options_(std::move(options)) {
  validate(options_);
}

StateDict StochasticWeightAveraging::state_dict() const {
  StateDict state;
  state.values["rates_before"] = Value::Array(rates_before_.begin(), rates_before_.end());
  state.values["is_exchanged"] = is_exchanged_;
  state.add("weights", average_.state_dict());
  return state;
}

void StochasticWeightAveraging::load_state_dict(const StateDict& state) {
  rates_before_.clear();
  for (const Value& rate : state.values.at("rates_before").as_array()) {
    rates_before_.push_back(rate.as_double());
  }
  average_.load_state_dict(state.child("weights"));
  is_exchanged_ = state.values.at("is_exchanged").as_bool();
  resumed_ = true;
}

void StochasticWeightAveraging::on_fit_start(Run& run) {
  require_batch_optimizer(kSwa, run);
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
  for (const auto& entry : run.optimizers().entries()) {
    const size_t groups = entry.optimizer->groups().size();
    if (options_.swa_lrs.size() == 1 || options_.swa_lrs.size() == groups) continue;
    refuse_swa(
        "swa_lrs", fmt::format("a list of {}", options_.swa_lrs.size()),
        fmt::format("must be one learning rate, or one for each of the {} parameter groups", groups)
            .c_str());
  }
  if (!std::exchange(resumed_, false)) {
    average_ = {};
    rates_before_.clear();
    is_exchanged_ = false;
  }
  average_.bind(run.module(), /*use_buffers=*/true, options_.device);
  if (std::exchange(is_exchanged_, false)) average_.exchange();
}

void StochasticWeightAveraging::set_rates(Run& run) {
  const int64_t passed = run.epoch() - first_epoch_;
  const double span = static_cast<double>(std::max<int64_t>(1, options_.annealing_epochs));
  const double t = options_.annealing_epochs == 0
                       ? 1.0
                       : std::clamp(static_cast<double>(passed) / span, 0.0, 1.0);
  const double share =
      options_.annealing_strategy == "cos" ? (1.0 - std::cos(std::numbers::pi * t)) / 2.0 : t;
  size_t i = 0;
  for (const auto& entry : run.optimizers().entries()) {
    const auto& groups = entry.optimizer->groups();
    for (size_t group = 0; group < groups.size(); ++group, ++i) {
      if (rates_before_.size() <= i) rates_before_.push_back(groups[group].learning_rate);
      const double goal = options_.swa_lrs[options_.swa_lrs.size() == 1 ? 0 : group];
      const double rate = goal * share + rates_before_[i] * (1.0 - share);
      if (groups[group].learning_rate != rate) entry.optimizer->set_learning_rate(rate, group);
    }
  }
}

void StochasticWeightAveraging::on_train_epoch_start(Run& run) {
  if (run.epoch() >= first_epoch_) set_rates(run);
}

void StochasticWeightAveraging::on_train_batch_start(const Batch&, Step& step) {
  if (step.epoch() >= first_epoch_) set_rates(step.run());
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
