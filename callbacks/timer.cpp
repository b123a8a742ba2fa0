#include <levin/callbacks/timer.h>

#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>
#include <levin/framework/run/trainer_options.h>

#include <utility>

namespace levin {

Fields describe(TimerOptions& o) {
  return fields_of<TimerOptions>({
      {"duration", &o.duration, "how long training may take, DD:HH:MM:SS; empty: no limit"},
      {"interval", &o.interval, "check the time after each step or each epoch"},
      {"verbose", &o.verbose, "print a line to stderr when the time is up"},
  });
}

void Timer::Watch::start() { started = files::monotonic_seconds(); }

void Timer::Watch::stop() {
  before = seconds();
  started.reset();
}

double Timer::Watch::seconds() const {
  return before + (started ? files::monotonic_seconds() - *started : 0.0);
}

Timer::Timer(TimerOptions options) : options_(std::move(options)) {
  if (!options_.duration.empty()) duration_ = parse_duration("Timer.duration", options_.duration);
  if (options_.interval != "step" && options_.interval != "epoch") {
    throw ConfigError::invalid_value("Timer.interval", options_.interval, "must be step or epoch");
  }
  by_step_ = duration_ && options_.interval == "step";
}

double Timer::time_elapsed(Stage stage) const {
  switch (stage) {
    case Stage::fit:
      return fit_.seconds();
    case Stage::validate:
      return validation_.seconds();
    case Stage::test:
      return test_.seconds();
    default:
      return 0.0;
  }
}

std::optional<double> Timer::time_remaining() const {
  return duration_ ? std::optional(*duration_ - fit_.seconds()) : std::nullopt;
}

StateDict Timer::state_dict() const {
  StateDict state;
  state.values["fit_seconds"] = fit_.seconds();
  state.values["validation_seconds"] = validation_.seconds();
  state.values["test_seconds"] = test_.seconds();
  return state;
}

void Timer::load_state_dict(const StateDict& state) {
  fit_ = {.before = state.values.at("fit_seconds").as_double()};
  validation_ = {.before = state.values.at("validation_seconds").as_double()};
  test_ = {.before = state.values.at("test_seconds").as_double()};
  resumed_ = true;
}

void Timer::on_fit_start(Run&) {
  if (!resumed_) fit_ = {};
  resumed_ = has_said_ = false;
}

void Timer::on_train_start(Run& run) {
  fit_.start();
  deadline_ = files::monotonic_seconds() + time_remaining().value_or(0.0);
  stop_in_time(run);
}

void Timer::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (by_step_) stop_in_time(step.run());
}

void Timer::on_train_epoch_end(Run& run) { stop_in_time(run); }

void Timer::on_train_end(Run&) { fit_.stop(); }

void Timer::on_validation_start(Run&) { validation_.start(); }
void Timer::on_validation_end(Run&) { validation_.stop(); }
void Timer::on_test_start(Run&) { test_.start(); }
void Timer::on_test_end(Run&) { test_.stop(); }

void Timer::on_exception(const std::exception&, Run&) {
  for (Watch* watch : {&fit_, &validation_, &test_}) watch->stop();
}

void Timer::stop_in_time(Run& run) {
  if (!duration_ || files::monotonic_seconds() < deadline_ || run.stop_requested()) return;
  std::string reason = fmt::format("timer: the training time of {} is over", options_.duration);
  const bool says = options_.verbose && run.is_global_zero() && !std::exchange(has_said_, true);
  if (says) diagnostics::print(reason + "\n");
  run.stop(std::move(reason));
}

}  // namespace levin
