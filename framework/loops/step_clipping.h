#pragma once

#include <vector>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/run/manual_optimization.h>

namespace levin {

/// Clips the gradients before the optimizer steps: asks the module to do so
/// (Module::configure_gradient_clipping), which by default clips as the Trainer's options say.
///
///     StepClipping clipping(parts, parameters);
///     clipping.clip(optimizer, step);       // between backward and the optimizer's step
///
/// While the module is asked, a Step offers it the functions that clip; there is one optimizer, and
/// its number is 0.
class StepClipping final : private ManualOptimization {
 public:
  /// Keeps the references; the parameters are those whose gradients are clipped.
  StepClipping(LoopParts parts, const std::vector<torch::Tensor>& parameters)
      : parts_(parts), parameters_(parameters) {}
  StepClipping(const StepClipping&) = delete;
  StepClipping& operator=(const StepClipping&) = delete;

  /// Clips the gradients of the parameters, which are `optimizer`'s.
  void clip(Optimizer& optimizer, StepControl& step);
  /// The norm of the gradients before they were clipped by it in the last step, [] on the device;
  /// undefined if they weren't. The object stays the same.
  const torch::Tensor& norm() const { return norm_; }
  void set_norm(const torch::Tensor& norm) { norm_ = norm; }

 private:
  torch::Tensor clip_gradients(size_t optimizer, double max_norm) override;
  void clip_gradient_values(size_t optimizer, double clip_value) override;
  void clip_by_options() override;
  void backward(const torch::Tensor& loss) override;
  void zero_grad(size_t optimizer) override;
  bool step(size_t optimizer) override;
  void toggle(size_t optimizer) override;
  void untoggle() override;

  LoopParts parts_;
  const std::vector<torch::Tensor>& parameters_;
  torch::Tensor norm_;
};

}  // namespace levin
