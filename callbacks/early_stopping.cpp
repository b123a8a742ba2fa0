#include <levin/callbacks/early_stopping.h>

#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

#include <cmath>

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

EarlyStopping::EarlyStopping(EarlyStoppingOptions options)
    : options_(std::move(options)),
      monitor_("EarlyStopping", options_.monitor, options_.mode),
      best_score_(monitor_.worst()) {
  if (!(options_.min_delta >= 0.0)) {
    throw ConfigError::invalid_value(
        "EarlyStopping.min_delta", fmt::to_string(options_.min_delta),
        "must be at least 0; set `mode` to choose which direction is better");
  }
  if (options_.patience < 0) {
    throw ConfigError::invalid_value("EarlyStopping.patience", fmt::to_string(options_.patience),
                                     "must be at least 0");
  }
}

std::optional<double> EarlyStopping::best_score() const {
  return best_step_ < 0 ? std::nullopt : std::optional(best_score_);
}

std::string EarlyStopping::state_key() const {
  return fmt::format("EarlyStopping:{}:{}", options_.monitor, options_.mode);
}

StateDict EarlyStopping::state_dict() const {
  StateDict state;
  state.values["monitor_source"] = monitor_.source_name();
  state.values["monitor_seen"] = monitor_.seen();
  state.values["wish"] = wish_;
  state.values["best_score"] = best_score_;
  state.values["best_epoch"] = best_epoch_;
  state.values["best_step"] = best_step_;
  state.values["wait_count"] = wait_count_;
  state.values["stopped_epoch"] = stopped_epoch_ ? Value(*stopped_epoch_) : Value();
  state.values["stopping_reason"] = stopping_reason_;
  state.add("best_weights", best_weights_);
  return state;
}

void EarlyStopping::load_state_dict(const StateDict& state) {
  monitor_.set_source(state.values.at("monitor_source").as_string());
  if (state.values.contains("monitor_seen")) {
    monitor_.set_seen(state.values.at("monitor_seen").as_int());
    wish_ = state.values.at("wish").as_string();
  }
  best_score_ = state.values.at("best_score").as_double();
  best_epoch_ = state.values.at("best_epoch").as_int();
  best_step_ = state.values.at("best_step").as_int();
  wait_count_ = state.values.at("wait_count").as_int();
  const auto& stopped = state.values.at("stopped_epoch");
  stopped_epoch_ = stopped.is_null() ? std::nullopt : std::optional(stopped.as_int());
  stopping_reason_ = state.values.at("stopping_reason").as_string();
  best_weights_ = state.child("best_weights").clone();
  resumed_ = true;
}

void EarlyStopping::reset() {
  best_score_ = monitor_.worst();
  best_epoch_ = best_step_ = -1;
  wait_count_ = 0;
  best_weights_ = {};
  wish_.clear();
  monitor_.reset();
}

void EarlyStopping::on_fit_start(Run& run) {
  if (!resumed_) reset();
  // A wish that was held back goes on; after one that ended a fit, the next check decides.
  if (run.progress().minima_are_met()) wish_.clear();
  if (!wish_.empty()) ask(run);
  resumed_ = false;
  if (wish_.empty()) {
    stopped_epoch_.reset();
    stopping_reason_.clear();
  }
  fitting_ = true;
  monitor_.on_fit_start();
}

void EarlyStopping::on_validation_start(Run& run) {
  if (fitting_) monitor_.on_validation_start(run);
}

void EarlyStopping::on_validation_end(Run& run) {
  if (!fitting_) return;
  monitor_.on_validation_end(run);
  const bool is_new = monitor_.source() == Monitor::Source::validation;
  const bool due = options_.check_on_train_epoch_end ? !*options_.check_on_train_epoch_end : is_new;
  if (due && !run.progress().sanity_checking()) check(run);
}

void EarlyStopping::on_train_epoch_end(Run& run) {
  monitor_.on_train_epoch_end(run, options_.strict);
  const bool is_new = monitor_.source() == Monitor::Source::training;
  if (options_.check_on_train_epoch_end.value_or(is_new)) check(run);
}

void EarlyStopping::on_train_end(Run& run) {
  fitting_ = false;
  monitor_.on_train_end(run, options_.strict);
  if (best_weights_.tensors.empty() || best_step_ == run.global_step()) return;
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(
        fmt::format("early stopping: restoring the weights of epoch {} ({} = {:.6g})\n",
                    best_epoch_, options_.monitor, best_score_));
  }
  run.load_weights(best_weights_);
}

void EarlyStopping::on_exception(const std::exception&, Run&) { fitting_ = false; }

void EarlyStopping::check(Run& run) {
  const auto value = monitor_.new_value(run);
  if (!value) return;
  const int64_t waited = wait_count_;
  const bool has_asked = !wish_.empty();
  wish_ = judge(*value, run);
  if (options_.verbose && run.is_global_zero()) {
    const char* intent = run.progress().minima_are_met() ? ", stopping" : ", wants to stop";
    diagnostics::print(
        fmt::format("early stopping: {} = {:.6g}{}{}\n", options_.monitor, *value,
                    wait_count_ > waited
                        ? fmt::format(", no improvement ({} of {})", wait_count_, options_.patience)
                        : std::string(),
                    wish_.empty() ? "" : intent));
  }
  stopping_reason_ = wish_;
  stopped_epoch_ = wish_.empty() ? std::nullopt : std::optional(run.epoch());
  if (!wish_.empty() && !has_asked) ask(run);
}

void EarlyStopping::ask(Run& run) {
  run.stop_while([this] { return wish_; });
}

std::string EarlyStopping::judge(double value, Run& run) {
  const auto& name = options_.monitor;
  if (options_.check_finite && !std::isfinite(value)) {
    return fmt::format("early stopping: {} = {} is not finite (the best value was {:.6g})", name,
                       value, best_score_);
  }
  // An improvement has to exceed min_delta.
  const double discounted =
      monitor_.is_max() ? value - options_.min_delta : value + options_.min_delta;
  const bool improved = monitor_.is_better(discounted, best_score_);
  if (improved) take_best(value, run);
  wait_count_ = improved ? 0 : wait_count_ + 1;

  const auto& goal = options_.stopping_threshold;
  if (goal && monitor_.is_better(value, *goal)) {
    return fmt::format("early stopping: {} = {:.6g} is better than the stopping_threshold {:.6g}",
                       name, value, *goal);
  }
  const auto& limit = options_.divergence_threshold;
  if (limit && monitor_.is_better(*limit, value)) {
    return fmt::format("early stopping: {} = {:.6g} is worse than the divergence_threshold {:.6g}",
                       name, value, *limit);
  }
  if (improved || wait_count_ < options_.patience) return {};
  const std::string checks = wait_count_ == 1 ? "check" : fmt::format("{} checks", wait_count_);
  return fmt::format("early stopping: {} did not improve in the last {} (the best value is {:.6g})",
                     name, checks, best_score_);
}

void EarlyStopping::take_best(double value, Run& run) {
  best_score_ = value;
  best_epoch_ = run.epoch();
  best_step_ = run.global_step();
  if (options_.restore_best_weights) best_weights_ = run.module().state_dict().clone();
}

}  // namespace levin
