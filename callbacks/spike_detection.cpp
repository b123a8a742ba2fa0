#include <levin/callbacks/spike_detection.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/unsigned_nan.h>
#include <levin/framework/run/step.h>

namespace levin {

SpikeDetection::SpikeDetection(SpikeDetectionOptions options) : options_(std::move(options)) {
  validate(options_);
}

StateDict SpikeDetection::state_dict() const {
  StateDict state;
  state.values["recent"] = Value::Array(recent_.begin(), recent_.end());
  state.values["spikes"] = spikes_;
  return state;
}

void SpikeDetection::load_state_dict(const StateDict& state) {
  recent_.clear();
  for (const Value& one : state.values.at("recent").as_array()) recent_.push_back(one.as_double());
  spikes_ = state.values.at("spikes").as_array();
  resumed_ = true;
}

void SpikeDetection::on_fit_start(Run&) {
  if (std::exchange(resumed_, false)) return;
  recent_.clear();
  spikes_.clear();
}

double SpikeDetection::mean() const {
  return std::accumulate(recent_.begin(), recent_.end(), 0.0) /
         static_cast<double>(std::max<size_t>(1, recent_.size()));
}

bool SpikeDetection::is_spike(double loss, int64_t batch) const {
  if (batch < options_.warmup) return false;
  if (!std::isfinite(loss)) return options_.finite_only;
  if (recent_.empty()) return false;
  const double change = loss - recent_.back();
  if (options_.mode == "min" ? change <= 0.0 : change >= 0.0) return false;
  const double distance = std::abs(loss - mean());
  return (!options_.atol || distance >= *options_.atol) &&
         (!options_.rtol || distance >= std::abs(*options_.rtol * mean()));
}

void SpikeDetection::on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) {
  bool found = false;
  if (loss.defined()) {
    const double value = unsigned_nan(loss.item<double>());
    found = is_spike(value, step.batch_index());
    if (found) {
      keep(value, batch, step);
    } else if (std::isfinite(value)) {
      recent_.push_back(value);
      if (static_cast<int64_t>(recent_.size()) > options_.window) recent_.erase(recent_.begin());
    }
  }
  if (options_.action != "stop") return;
  Run& run = step.run();
  if (!run.ranks().any_after_step("SpikeDetection", found)) return;
  run.stop(found ? fmt::format(
                       "spike detection: the loss of batch {} in epoch {} is {:.6g}, but the "
                       "mean of the batches before it is {:.6g}",
                       step.batch_index(), step.epoch(), unsigned_nan(loss.item<double>()), mean())
                 : "spike detection: the loss of another rank has a spike");
}

void SpikeDetection::keep(double loss, const Batch& batch, Step& step) {
  Value spike;
  spike["epoch"] = step.epoch();
  spike["batch"] = step.batch_index();
  spike["loss"] = std::isfinite(loss) ? Value(loss) : Value(fmt::to_string(loss));
  spike["mean"] = mean();
  spike["rows"] = Value::Array(batch.row_ids().begin(), batch.row_ids().end());
  spikes_.push_back(std::move(spike));
  const std::string text = fmt::format(
      "spike detection: the loss of batch {} in epoch {} is {:.6g}, but the mean of the batches "
      "before it is {:.6g}",
      step.batch_index(), step.epoch(), loss, mean());
  Run& run = step.run();
  if (!run.is_global_zero()) {
    diagnostics::print(fmt::format("warning: rank {}: {}\n", run.ranks().rank(), text));
    return;
  }
  const auto path = run.log_dir() / "spikes.json";
  run.warn(fmt::format("{}; its rows are in {}", text, path.string()));
  files::write_atomically(path, Value(spikes_).to_json() + "\n");
}

}  // namespace levin
