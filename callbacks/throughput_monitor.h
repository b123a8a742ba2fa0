#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/threads/step_work.h>

namespace levin {

/// Options of ThroughputMonitor.
struct ThroughputMonitorOptions {
  /// The number of batches over which a speed is the mean, at least 2.
  int64_t window_size = 100;
  /// Also log "flops_per_sec", the floating-point operations of all ranks. They are counted in the
  /// second batch of the fit, and the other batches are taken to have as many for each row.
  bool flops = false;
  /// The floating-point operations of a batch of each rank, if they are known, instead of counting.
  /// Lightning: the attribute flops_per_batch of the module.
  std::optional<double> flops_per_batch{};
};

/// Describes the options for YAML files and `--help`.
Fields describe(ThroughputMonitorOptions& options);

/// Logs how fast training goes, as values of the step: "batches_per_sec" of this rank, and
/// "samples_per_sec", the rows of all ranks. Lightning: ThroughputMonitor.
///
///     auto& speed = trainer.add<levin::ThroughputMonitor>();
///     speed.set_length_fn([](const levin::Batch& batch) { return batch.input().numel(); });
///
/// With a function of the length of a batch, such as its number of tokens, "items_per_sec" is
/// logged, too.
///
/// With `flops`, LibTorch's matrix products and convolutions in the forward and the backward pass
/// are counted, by their shapes, as its profiler sees them; nothing else counts. On a GPU, whose
/// backward pass runs on another thread, that pass is taken to have twice the operations of the
/// forward pass. Kernels of Levin's own, such as those of LogisticRegression, aren't seen: if none
/// are found, a warning says so; set flops_per_batch.
///
/// The time is that between the ends of batches, waiting for data included, and without
/// validations. All ranks are taken to have as many rows as rank 0, but the rows of ranks that
/// share a model (a pipeline) count once. It is read on the host, which a
/// GPU follows with a delay that doesn't matter over a window. Nothing is logged for the first
/// batch of a fit.
class ThroughputMonitor : public Callback {
 public:
  using Options = ThroughputMonitorOptions;
  /// Throws ConfigError for a window below 2.
  explicit ThroughputMonitor(ThroughputMonitorOptions options = {});

  /// Makes `length` say how many items a batch has, by which "items_per_sec" is logged.
  void set_length_fn(std::function<int64_t(const Batch&)> length) { length_ = std::move(length); }

  HookSet used_hooks(HookSet overridden) const override;
  void on_train_start(Run& run) override;
  void on_train_batch_start(const Batch& batch, Step& step) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;

 private:
  /// The end of a batch.
  struct Moment {
    double seconds = 0.0;
    int64_t rows = 0;  // of all batches up to it
    int64_t items = 0;
    double flops = 0.0;
  };
  /// Ends the count that on_train_batch_start has begun.
  void take_count(const Batch& batch, Run& run);

  ThroughputMonitorOptions options_;
  std::function<int64_t(const Batch&)> length_;
  std::unique_ptr<StepWork> work_;     // while a batch is counted
  std::optional<double> flops_a_row_;  // once one was
  int64_t batches_ = 0;                // of this fit
  std::deque<Moment> moments_;
  double paused_ = 0.0;       // seconds of validations so far
  double pause_began_ = 0.0;  // in files::monotonic_seconds
};

}  // namespace levin
