#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// The steps of optimizers on a GPU, in one kernel for many parameters. As everything in kernels.h,
/// they enqueue their work and return; stubs that throw take their place in a build without nvcc.
namespace levin::kernels::cuda {

/// One parameter, `size` float32 numbers like everything of it but `step`.
struct AdamParameter {
  float* parameter = nullptr;
  /// Divided by `grad_scale`, in place, if that is given.
  float* gradient = nullptr;
  float* mean = nullptr;
  float* mean_square = nullptr;
  /// [1]: the number of steps taken before this one, to which 1 is added.
  float* step = nullptr;
  int64_t size = 0;
};

/// A step of Adam, or of AdamW if `decoupled_weight_decay`, as LibTorch's _fused_adam_ makes it.
/// Twin: Adam::plain.
struct AdamStep {
  /// In the host's memory.
  std::span<const AdamParameter> parameters{};
  /// [1], on the device. The last two may be null: a divisor of the gradients, and a number that
  /// makes the step change nothing unless it is 0.
  const float* learning_rate = nullptr;
  const float* grad_scale = nullptr;
  const float* found_inf = nullptr;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled_weight_decay = false;
  bool maximize = false;
};
void adam_step(const AdamStep& step, void* stream);

struct SgdParameter {
  float* parameter = nullptr;
  const float* gradient = nullptr;
  int64_t size = 0;
};

/// A step of stochastic gradient descent without momentum. Twin: SGD::plain.
struct SgdStep {
  /// In the host's memory.
  std::span<const SgdParameter> parameters{};
  /// [1], on the device.
  const float* learning_rate = nullptr;
  double weight_decay = 0.0;
  bool maximize = false;
};
void sgd_step(const SgdStep& step, void* stream);

}  // namespace levin::kernels::cuda
