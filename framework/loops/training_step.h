#pragma once

#include <optional>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Trains on one batch: forward, backward and, at the end of a window of batches, the optimizer. A
/// window is the batches whose gradients make one optimizer step (accumulate_grad_batches).
/// Lightning: _AutomaticOptimization.
///
///     TrainingStep training_step(parts, optimizers);
///     bool stepped = training_step.run(batch, step, data.global_rows(), /*window_ends=*/true);
///
/// A step costs what a hand-written loop costs plus some virtual calls; this class allocates no
/// memory for it.
class TrainingStep {
 public:
  /// `optimizers` must outlive this object. It may be empty; gradients are computed all the same.
  /// Throws ModuleError if there is more than one optimizer, and what `check_accumulation` throws
  /// for accumulate_grad_batches.
  TrainingStep(LoopParts parts, Optimizers& optimizers);

  /// Checks whether a window may have `batches` batches. Throws ConfigError if that is more than
  /// one and the optimizer evaluates its closure again (LBFGS), because it would then train on the
  /// last batch only.
  void check_accumulation(int64_t batches) const;

  /// Trains on `batch`, which is this rank's part of a batch that has `global_rows` rows over all
  /// ranks and is on the device already. If `window_ends`, the gradients of the window are summed
  /// over ranks and clipped, and the optimizer steps.
  ///
  /// Returns whether a step was counted, the same on every rank. It is false within a window, and
  /// if training_step skipped all batches of the window on all ranks. With several ranks the call
  /// at the end of a window is a collective. Throws ModuleError if training_step returns no scalar,
  /// or one without a graph.
  bool run(const Batch& batch, StepControl& step, int64_t global_rows, bool window_ends);
  /// The loss that training_step returned last, a scalar without its graph; undefined if it skipped
  /// the batch. It stays on the device.
  const torch::Tensor& loss() const { return loss_; }
  /// How many batches the current window has so far; 0 at a step boundary.
  int64_t window_batches() const { return window_batches_; }
  /// Forgets a window that was left unfinished because Step::skip_epoch ended its epoch early.
  void drop_window() { window_batches_ = 0; }

 private:
  void begin_window();
  torch::Tensor closure();
  torch::Tensor forward();
  void backward(const torch::Tensor& loss);
  bool window_counts() const { return !all_rows_ || *all_rows_ > 0.0; }
  void complete_gradients();

  LoopParts parts_;
  Optimizer* optimizer_ = nullptr;         // null: the module has none
  std::vector<torch::Tensor> parameters_;  // the optimizer's, of all groups
  Closure closure_;                        // made once: calls closure()

  const Batch* batch_ = nullptr;
  StepControl* step_ = nullptr;
  torch::Tensor loss_;
  bool window_ends_ = true;
  bool evaluated_ = false;  // the closure ran for this batch
  int64_t window_batches_ = 0;
  bool gradients_begun_ = false;
  double full_rows_ = 0.0;                // rows of the window's first batch over all ranks
  double window_rows_ = 0.0;              // rows of this rank that have gradients in the window
  std::optional<double> all_rows_ = 0.0;  // those of all ranks, as Strategy::backward returns them
  torch::Tensor window_loss_;
};

}  // namespace levin
