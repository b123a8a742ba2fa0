#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// How the scale of losses changes. The defaults are PyTorch's.
struct GradientScalerOptions {
  /// The scale of the first step.
  double init_scale = 65536.0;
  /// What the scale is multiplied by after `growth_interval` steps in a row with finite gradients.
  double growth_factor = 2.0;
  /// What it is multiplied by after a step whose gradients weren't finite.
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;
};

/// Multiplies losses by a scale, so that small gradients aren't rounded to 0 in float16, and
/// divides the gradients by it again. If a gradient has become infinite or NaN, the step has to be
/// left out, and the scale is lowered; after many steps without this, it is raised. PyTorch:
/// torch.amp.GradScaler.
///
///     GradientScaler scaler(device);
///     module.backward(scaler.scale(loss));   // of each batch of a window
///     scaler.unscale(parameters);            // at its end
///     const bool skips = scaler.skips();     // waits for the device
///     scaler.update();
///     if (!skips) optimizer.step();
///
/// Everything but `skips`, `take_counted` and the state is enqueued on the device and can be
/// captured in a graph; instead of `skips`, a captured step gives the optimizer `found_inf` and
/// calls `count_skip`.
class GradientScaler {
 public:
  /// After so many steps in a row that were left out, the gradients aren't too large for float16,
  /// but NaN or infinite whatever the scale is.
  static constexpr int64_t kMostSkipsInARow = 60;

  explicit GradientScaler(at::Device device, GradientScalerOptions options = {});

  /// The loss times the scale, in float32 at least.
  torch::Tensor scale(const torch::Tensor& loss) const;
  /// Divides the gradients of `parameters`, in place, by the scale, and sets `found_inf`. Of sparse
  /// gradients, it divides the entries that they have.
  void unscale(const std::vector<torch::Tensor>& parameters);
  /// Not 0 if the last call of `unscale` found a number that isn't finite: float32, [1], on the
  /// device. It is the same tensor in every step. Ranks that have different gradients must agree
  /// on it before anything below.
  torch::Tensor& found_inf() { return found_inf_; }
  /// Whether the step is to be left out, because `found_inf` isn't 0; then counts it. Waits for the
  /// device. Throws ModuleError if that has happened `kMostSkipsInARow` times in a row.
  bool skips();
  /// Lowers or raises the scale by `found_inf`. To be called once for each window.
  void update();

  /// Adds to a number on the device whether the step is left out, for `take_counted`.
  void count_skip();
  /// Returns how many steps of the last `steps` ones were counted by `count_skip`. Waits for the
  /// device. Throws what `skips` throws.
  int64_t take_counted(int64_t steps);

  /// The steps that were left out so far, as `skips` and `take_counted` have counted them.
  int64_t skipped_steps() const { return skipped_steps_; }
  /// The present scale; waits for the device.
  double current_scale() const;

  /// The scale as a float32 tensor, and the counts of steps since it has changed and of those left
  /// out. Waits for the device.
  StateDict state_dict() const;
  /// Throws CheckpointError if `state` isn't what `state_dict` returns.
  void load_state_dict(const StateDict& state);

 private:
  void count(int64_t skipped, int64_t steps);

  GradientScalerOptions options_;
  torch::Tensor scale_;           // float32 []
  torch::Tensor growth_tracker_;  // int32 []: finite steps since the scale has changed
  torch::Tensor found_inf_;       // float32 [1]
  torch::Tensor counted_;         // int64 []: by count_skip, not taken yet
  int64_t skipped_steps_ = 0;
  int64_t skips_in_a_row_ = 0;
};

}  // namespace levin
