#pragma once

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// The step: forward, backward, and at the end of a window of batches the optimizer. Does what the
/// hand-written loop does plus virtual calls; allocates nothing of its own.
class TrainingStep {
 public:
  /// Throws ModuleError for more than one optimizer.
  TrainingStep(LoopParts parts, Optimizers& optimizers);

  /// Throws ConfigError where a window of more than one batch is asked for, but the optimizer
  /// evaluates its closure again.
  void check_accumulation(int64_t batches) const;

  /// Trains on this rank's part of a batch of `global_rows` rows; where `window_ends`, gradients of
  /// the batches since the last step are complete and the optimizer steps. Returns whether it did,
  /// the same on every rank.
  bool run(const Batch& batch, StepControl& step, int64_t global_rows, bool window_ends);
  /// What training_step returned last, without its graph; undefined where it skipped the batch.
  const torch::Tensor& loss() const { return loss_; }
  /// Batches in the window so far; 0 at a step boundary.
  int64_t window_batches() const { return window_batches_; }
  /// Forgets a window left unfinished.
  void drop_window() { window_batches_ = 0; }

 private:
  void begin_window();
  torch::Tensor closure();
  torch::Tensor forward();
  void backward(const torch::Tensor& loss);
  void complete_gradients();

  LoopParts parts_;
  Optimizer* optimizer_ =
      nullptr;  // null: the module has none, gradients are computed all the same
  std::vector<torch::Tensor> parameters_;  // the optimizer's, of all groups
  Closure closure_;                        // made once: calls closure()

  const Batch* batch_ = nullptr;
  StepControl* step_ = nullptr;
  torch::Tensor loss_;
  bool window_ends_ = true;
  bool evaluated_ = false;  // the closure ran for this batch
  int64_t window_batches_ = 0;
  bool gradients_begun_ = false;
  double full_rows_ = 0.0;  // of the window's first batch, over all ranks: what rows are weighed by
  double window_rows_ = 0.0;  // this rank's rows with gradients in the window
  double all_rows_ = 0.0;     // those of all ranks, once the window ended
  torch::Tensor window_loss_;
};

}  // namespace levin
