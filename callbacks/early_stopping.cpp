#include <levin/callbacks/early_stopping.h>

#include <fmt/format.h>
#include <levin/callbacks/stopping_judgement.h>
#include <levin/framework/core/diagnostics.h>

#include <utility>

namespace levin {

EarlyStopping::EarlyStopping(EarlyStoppingOptions options)
    : options_(std::move(options)),
      monitor_("EarlyStopping", options_.monitor, options_.mode),
      best_(monitor_.worst()) {
  validate(options_);
}

std::string EarlyStopping::state_key() const {
  return fmt::format("EarlyStopping:{}:{}", options_.monitor, options_.mode);
}

StateDict EarlyStopping::state_dict() const {
  StateDict state;
  monitor_.save_to(state.values);
  best_.save_to(state);
  state.values["wish"] = wish_;
  state.values["wait_count"] = wait_count_;
  state.values["stopped_epoch"] = stopped_epoch_ ? Value(*stopped_epoch_) : Value();
  state.values["stopping_reason"] = stopping_reason_;
  return state;
}

void EarlyStopping::load_state_dict(const StateDict& state) {
  monitor_.load_from(state.values);
  best_.load_from(state);
  if (state.values.contains("wish")) wish_ = state.values.at("wish").as_string();
  wait_count_ = state.values.at("wait_count").as_int();
  const auto& stopped = state.values.at("stopped_epoch");
  stopped_epoch_ = stopped.is_null() ? std::nullopt : std::optional(stopped.as_int());
  stopping_reason_ = state.values.at("stopping_reason").as_string();
  resumed_ = true;
}

void EarlyStopping::reset() {
  best_ = BestScore(monitor_.worst());
  wait_count_ = 0;
  wish_.clear();
  monitor_.reset();
}

void EarlyStopping::on_fit_start(Run& run) {
  if (options_.restore_best_weights) BestScore::require_all_weights(run);
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
  if (!best_.has_other_weights(run)) return;
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(
        fmt::format("early stopping: restoring the weights of epoch {} ({} = {:.6g})\n",
                    best_.epoch(), options_.monitor, best_.value()));
  }
  run.load_weights(best_.weights());
}

void EarlyStopping::on_exception(const std::exception&, Run&) { fitting_ = false; }

void EarlyStopping::check(Run& run) {
  const auto value = monitor_.new_value(run);
  if (!value) return;
  const bool has_asked = !wish_.empty();
  const auto judged = judge_for_stopping(options_, monitor_, *value, best_.value(), wait_count_);
  if (judged.improved) best_.take(*value, run, options_.restore_best_weights);
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(
        stopping_report(options_, judged, *value, wait_count_, run.progress().minima_are_met()));
  }
  wait_count_ = judged.wait_count;
  wish_ = judged.reason;
  stopping_reason_ = wish_;
  stopped_epoch_ = wish_.empty() ? std::nullopt : std::optional(run.epoch());
  if (!wish_.empty() && !has_asked) ask(run);
}

void EarlyStopping::ask(Run& run) {
  run.stop_while([this] { return wish_; });
}

}  // namespace levin
