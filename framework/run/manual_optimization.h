#pragma once

#include <cstddef>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// What Step offers a module that optimizes by hand (Module::automatic_optimization), or clips by
/// hand (Module::configure_gradient_clipping). Step describes the functions; the loop implements
/// them.
class ManualOptimization {
 public:
  virtual void backward(const torch::Tensor& loss) = 0;
  virtual void zero_grad(size_t optimizer) = 0;
  virtual torch::Tensor clip_gradients(size_t optimizer, double max_norm) = 0;
  virtual void clip_gradient_values(size_t optimizer, double clip_value) = 0;
  virtual void clip_by_options() = 0;
  virtual bool step(size_t optimizer) = 0;
  virtual void toggle(size_t optimizer) = 0;
  virtual void untoggle() = 0;

 protected:
  ~ManualOptimization() = default;
};

}  // namespace levin
