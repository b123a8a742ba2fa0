#include <levin/callbacks/early_stopping.h>

#include <fmt/format.h>
#include <levin/callbacks/stopping_judgement.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/run/module.h>

#include <utility>

namespace levin {

EarlyStopping::EarlyStopping(EarlyStoppingOptions options)
    : options_(std::move(options)),
      monitor_("EarlyStopping", options_.monitor, options_.mode),
      best_score_(monitor_.worst()) {
  validate(options_);
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
  const auto judged = judge_for_stopping(options_, monitor_, *value, best_score_, wait_count_);
  if (judged.improved) take_best(*value, run);
  wait_count_ = judged.wait_count;
  wish_ = judged.reason;
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

void EarlyStopping::take_best(double value, Run& run) {
  best_score_ = value;
  best_epoch_ = run.epoch();
  best_step_ = run.global_step();
  if (options_.restore_best_weights) best_weights_ = run.module().state_dict().clone();
}

}  // namespace levin
