#pragma once

#include <cstdint>
#include <deque>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of ThroughputMonitor.
struct ThroughputMonitorOptions {
  /// The number of batches over which a speed is the mean, at least 2.
  int64_t window_size = 100;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ThroughputMonitorOptions& options);

/// Logs how fast training goes, as values of the step: "batches_per_sec" of this rank, and
/// "samples_per_sec", the rows of all ranks. Lightning: ThroughputMonitor.
///
///     trainer.add<levin::ThroughputMonitor>();
///
/// The time is that between the ends of batches, waiting for data included, and without
/// validations. All ranks are taken to have as many rows as rank 0. It is read on the host, which a
/// GPU follows with a delay that doesn't matter over a window. Nothing is logged for the first
/// batch of a fit.
class ThroughputMonitor : public Callback {
 public:
  using Options = ThroughputMonitorOptions;
  /// Throws ConfigError for a window below 2.
  explicit ThroughputMonitor(ThroughputMonitorOptions options = {});

  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;

 private:
  /// The end of a batch.
  struct Moment {
    double seconds = 0.0;
    int64_t rows = 0;  // of all batches up to it
  };

  ThroughputMonitorOptions options_;
  std::deque<Moment> moments_;
  double paused_ = 0.0;       // seconds of validations so far
  double pause_began_ = 0.0;  // in files::monotonic_seconds
};

}  // namespace levin
