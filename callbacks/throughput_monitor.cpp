#include <levin/callbacks/throughput_monitor.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>

namespace levin {

Fields describe(ThroughputMonitorOptions& o) {
  return fields_of<ThroughputMonitorOptions>({
      {"window_size", &o.window_size, "the number of batches over which a speed is the mean"},
      {"flops", &o.flops, "also log the floating-point operations a second, counted in one batch"},
      {"flops_per_batch", &o.flops_per_batch, "those of a batch, if known; null: they are counted"},
  });
}

ThroughputMonitor::ThroughputMonitor(ThroughputMonitorOptions options) : options_(options) {
  if (options_.window_size < 2) {
    throw ConfigError::invalid_value("ThroughputMonitor.window_size",
                                     fmt::to_string(options_.window_size), "must be at least 2");
  }
}

HookSet ThroughputMonitor::used_hooks(HookSet overridden) const {
  const bool counts = options_.flops && !options_.flops_per_batch;
  return counts ? overridden : overridden.remove(BatchHook::train_batch_start);
}

void ThroughputMonitor::on_train_start(Run&) {
  moments_.clear();
  work_.reset();
  flops_a_row_.reset();
  batches_ = 0;
  paused_ = 0.0;
}

void ThroughputMonitor::on_train_batch_start(const Batch&, Step&) {
  if (batches_ == 1) work_ = std::make_unique<StepWork>();  // the Trainer may count the first one
}

void ThroughputMonitor::take_count(const Batch& batch, Run& run) {
  const double counted = work_->flops();
  work_.reset();
  if (batch.rows() == 0) return;
  if (counted == 0.0) {
    run.warn(
        "ThroughputMonitor: no matrix products or convolutions of LibTorch's were found in a "
        "batch, so flops_per_sec isn't logged; set flops_per_batch");
    return;
  }
  const auto parameters = run.module().parameters();
  const bool sees_backward = parameters.empty() || parameters.front().is_cpu();
  flops_a_row_ = counted * (sees_backward ? 1.0 : 3.0) / static_cast<double>(batch.rows());
}

void ThroughputMonitor::on_train_batch_end(const torch::Tensor&, const Batch& batch, Step& step) {
  if (work_) take_count(batch, step.run());
  ++batches_;
  const Moment before = moments_.empty() ? Moment{} : moments_.back();
  const double flops = options_.flops_per_batch.value_or(flops_a_row_.value_or(0.0) *
                                                         static_cast<double>(batch.rows()));
  moments_.push_back({.seconds = files::monotonic_seconds() - paused_,
                      .rows = before.rows + batch.rows(),
                      .items = before.items + (length_ ? length_(batch) : 0),
                      .flops = before.flops + flops});
  if (static_cast<int64_t>(moments_.size()) > options_.window_size) moments_.pop_front();
  const double seconds = moments_.back().seconds - moments_.front().seconds;
  if (moments_.size() < 2 || seconds <= 0.0) return;
  const auto batches = static_cast<double>(moments_.size() - 1);
  const Moment& first = moments_.front();
  const Moment& last = moments_.back();
  const auto rows = static_cast<double>(last.rows - first.rows);
  // Ranks that share a model have the same rows.
  const Run& run = step.run();
  const auto ranks = static_cast<double>(run.ranks().size() / run.place().model_size);
  const LogOptions options{.on_step = true, .on_epoch = false};
  step.log("batches_per_sec", batches / seconds, options);
  step.log("samples_per_sec", rows * ranks / seconds, options);
  if (length_) {
    const auto items = static_cast<double>(last.items - first.items);
    step.log("items_per_sec", items * ranks / seconds, options);
  }
  const bool has_flops = options_.flops_per_batch || flops_a_row_;
  if (has_flops && last.flops > first.flops) {
    const auto all = static_cast<double>(run.ranks().size());  // each computes a part of its own
    step.log("flops_per_sec", (last.flops - first.flops) * all / seconds, options);
  }
}

void ThroughputMonitor::on_validation_start(Run&) { pause_began_ = files::monotonic_seconds(); }

void ThroughputMonitor::on_validation_end(Run&) {
  paused_ += files::monotonic_seconds() - pause_began_;
}

}  // namespace levin
