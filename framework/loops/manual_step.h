#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/optimizers/schedules.h>
#include <levin/framework/precision/gradient_scaler.h>
#include <levin/framework/run/manual_optimization.h>

namespace levin {

/// Trains on one batch if the module optimizes by hand: calls training_step, and does what it asks
/// for through Step. Lightning: _ManualOptimization.
///
///     ManualStep manual(parts, optimizers, &schedules, scaler);
///     const int64_t steps = manual.run(batch, step, data.global_rows());
///
/// The gradients of an optimizer's parameters go through three states: `backward` adds to this
/// rank's own; clipping or `step` completes them (sums over ranks, divides by the scale of
/// 16-mixed, once); `step` uses them, and they wait for zero_grad.
///
/// With 16-mixed, the scale changes at the end of training_step, if any gradients were divided by
/// it in that. Gradients that were left for a later batch are multiplied so that they fit the new
/// one.
class ManualStep final : private ManualOptimization {
 public:
  /// Keeps the references; `schedules` may be null, and `scaler` is null if gradients aren't
  /// scaled. Throws ConfigError for options and optimizers that can't be used by hand: see
  /// Module::automatic_optimization. A collective.
  ManualStep(LoopParts parts, Optimizers& optimizers, Schedules* schedules, GradientScaler* scaler);
  ManualStep(const ManualStep&) = delete;
  ManualStep& operator=(const ManualStep&) = delete;

  /// Trains on `batch`, this rank's part of a batch of `global_rows` rows over all ranks. Returns
  /// the number of steps that optimizers have made, the same on every rank; the run's global_step
  /// has been raised by it. Leaves out a batch of fewer rows than there are ranks. Throws
  /// ModuleError if training_step makes calls that don't fit together.
  int64_t run(const Batch& batch, StepControl& step, int64_t global_rows);
  /// What training_step returned last, without its graph; may be undefined.
  const torch::Tensor& loss() const { return loss_; }
  /// The steps of the last call of `run`.
  int64_t steps() const { return steps_; }

  /// This rank's gradients that were computed and neither used by a step nor dropped: a tensor
  /// `<optimizer>.<parameter>` for each. A resumed fit goes on with them.
  StateDict left_gradients() const;
  void load_left_gradients(const StateDict& gradients);

 private:
  /// An optimizer and the state of its parameters' gradients.
  struct Item {
    Optimizer* optimizer;
    std::vector<torch::Tensor> parameters;
    bool has_own = false;      // `backward` may have added to them, and they aren't complete
    bool is_complete = false;  // summed over ranks and without the scale
    bool is_used = false;      // a step has used them
    bool is_finite = true;     // known once they are complete
  };

  void backward(const torch::Tensor& loss) override;
  void zero_grad(size_t optimizer) override;
  torch::Tensor clip_gradients(size_t optimizer, double max_norm) override;
  void clip_gradient_values(size_t optimizer, double clip_value) override;
  void clip_by_options() override;
  bool step(size_t optimizer) override;
  void toggle(size_t optimizer) override;
  void untoggle() override;

  void check_options() const;
  void check_optimizer(const Optimizer& optimizer) const;
  Item& item(size_t optimizer, const char* function);
  void complete(Item& item);
  void end_batch();
  void check_all_used() const;
  void update_scale();

  LoopParts parts_;
  Schedules* schedules_;
  GradientScaler* scaler_;
  std::vector<Item> items_;
  std::vector<std::pair<torch::Tensor, bool>> toggled_;  // and whether they required gradients
  torch::Tensor found_inf_;  // in any gradients of the batch; undefined: none were looked at
  const Batch* batch_ = nullptr;
  StepControl* step_ = nullptr;
  double weight_ = 1.0;  // of this rank's losses
  torch::Tensor loss_;
  int64_t steps_ = 0;
};

}  // namespace levin
