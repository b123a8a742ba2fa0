#include <levin/callbacks/throughput_monitor.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>

namespace levin {

Fields describe(ThroughputMonitorOptions& o) {
  return fields_of<ThroughputMonitorOptions>({
      {"window_size", &o.window_size, "the number of batches over which a speed is the mean"},
  });
}

ThroughputMonitor::ThroughputMonitor(ThroughputMonitorOptions options) : options_(options) {
  if (options_.window_size < 2) {
    throw ConfigError::invalid_value("ThroughputMonitor.window_size",
                                     fmt::to_string(options_.window_size), "must be at least 2");
  }
}

void ThroughputMonitor::on_train_start(Run&) {
  moments_.clear();
  paused_ = 0.0;
}

void ThroughputMonitor::on_train_batch_end(const torch::Tensor&, const Batch& batch, Step& step) {
  const int64_t before = moments_.empty() ? 0 : moments_.back().rows;
  moments_.push_back({files::monotonic_seconds() - paused_, before + batch.rows()});
  if (static_cast<int64_t>(moments_.size()) > options_.window_size) moments_.pop_front();
  const double seconds = moments_.back().seconds - moments_.front().seconds;
  if (moments_.size() < 2 || seconds <= 0.0) return;
  const auto batches = static_cast<double>(moments_.size() - 1);
  const auto rows = static_cast<double>(moments_.back().rows - moments_.front().rows);
  const auto ranks = static_cast<double>(step.run().ranks().size());
  const LogOptions options{.on_step = true, .on_epoch = false};
  step.log("batches_per_sec", batches / seconds, options);
  step.log("samples_per_sec", rows * ranks / seconds, options);
}

void ThroughputMonitor::on_validation_start(Run&) { pause_began_ = files::monotonic_seconds(); }

void ThroughputMonitor::on_validation_end(Run&) {
  paused_ += files::monotonic_seconds() - pause_began_;
}

}  // namespace levin
