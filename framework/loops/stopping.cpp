#include <levin/framework/loops/stopping.h>

#include <levin/framework/core/files.h>
#include <levin/framework/loops/stop_signal.h>

namespace levin {
namespace {

constexpr int64_t kDefaultMaxEpochs = 1000;

}  // namespace

Stopping::Stopping(const TrainerOptions& options, Ranks& ranks, RunControl& run)
    : options_(options), ranks_(ranks), run_(run) {
  if (!options.max_time.empty()) max_seconds_ = parse_duration("max_time", options.max_time);
}

void Stopping::set_limits(Progress& progress) const {
  progress.max_epochs = options_.max_epochs;
  if (options_.max_steps >= 0) progress.max_steps = options_.max_steps;
  if (!options_.max_epochs && options_.max_steps < 0 && options_.max_time.empty()) {
    progress.max_epochs = kDefaultMaxEpochs;
  }
  if (progress.max_epochs == -1) progress.max_epochs.reset();
}

void Stopping::start_clock() { started_ = files::monotonic_seconds(); }

std::optional<double> Stopping::seconds() const {
  if (max_seconds_ == 0.0) return {};
  return seconds_before_ + (started_ ? files::monotonic_seconds() - *started_ : 0.0);
}

void Stopping::take_request(const std::optional<std::string>& request, bool in_step) {
  if (request && own_request_.empty()) own_request_ = *request;
  const bool raised = !own_request_.empty();
  const bool agreed = ranks_.any_after_step("Stopping/request", raised);
  const bool counts = in_step ? agreed : ranks_.any(raised || agreed);
  if (!counts || !reason_.empty()) return;
  reason_ = own_request_.empty() ? "a callback of another rank asked to stop" : own_request_;
  is_requested_ = true;
}

bool Stopping::notice_interrupt() {
  if (!ranks_.any_after_step("Stopping/interrupt", StopSignal::received())) return false;
  return !std::exchange(run_.history().interrupted, true);
}

bool Stopping::is_done() {
  const Progress& progress = run_.progress();
  const auto ends = [this](const char* reason) {
    reason_ = reason;
    return true;
  };
  if (run_.history().interrupted) return ends("interrupted");
  if (progress.num_batches == 0) return ends("limit_train_batches");
  if (progress.max_steps && progress.global_step >= *progress.max_steps) return ends("max_steps");
  if (progress.max_epochs && progress.epoch >= *progress.max_epochs) {
    return reason_.empty() ? ends("max_epochs") : true;
  }
  if (reason_.empty() && is_out_of_time()) reason_ = "max_time";
  return !reason_.empty() && minima_are_met();
}

bool Stopping::is_out_of_time() {
  const auto spent = seconds();
  return spent && ranks_.any_after_step("Stopping/max_time", *spent >= max_seconds_);
}

bool Stopping::minima_are_met() const {
  const Progress& progress = run_.progress();
  return progress.epoch >= options_.min_epochs.value_or(0) &&
         progress.global_step >= options_.min_steps.value_or(0);
}

}  // namespace levin
