#include <levin/framework/loops/stopping.h>

#include <algorithm>

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
  progress.min_epochs = options_.min_epochs.value_or(0);
  progress.min_steps = options_.min_steps.value_or(0);
}

void Stopping::start_clock() { started_ = files::monotonic_seconds(); }

std::optional<double> Stopping::seconds() const {
  if (max_seconds_ == 0.0) return {};
  return seconds_before_ + (started_ ? files::monotonic_seconds() - *started_ : 0.0);
}

void Stopping::hold(const std::vector<Requests::Stop>& requests) {
  for (const auto& request : requests) {
    // A callback may ask again and again; the first request that stands is enough.
    if (request.reason_now || !held_reason()) held_.push_back(request);
  }
}

std::optional<std::string> Stopping::held_reason() const {
  const auto found = std::find_if(held_.begin(), held_.end(),
                                  [](const Requests::Stop& held) { return !held.reason_now; });
  return found == held_.end() ? std::nullopt : std::optional(found->text);
}

void Stopping::judge(bool in_step) {
  std::erase_if(held_, [](const Requests::Stop& held) { return held.reason().empty(); });
  const bool raised = !held_.empty() && run_.progress().minima_are_met();
  const bool agreed = ranks_.any_after_step("Stopping/request", raised);
  const bool counts = in_step ? agreed : ranks_.any(raised);
  if (!counts || !reason_.empty()) return;
  reason_ = held_.empty() ? "a callback of another rank asked to stop" : held_.front().reason();
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
  return !reason_.empty() && progress.minima_are_met();
}

bool Stopping::is_out_of_time() {
  const auto spent = seconds();
  return spent && ranks_.any_after_step("Stopping/max_time", *spent >= max_seconds_);
}

}  // namespace levin
