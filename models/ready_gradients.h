#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include <torch/types.h>

namespace levin {

/// The gradients of a loss that are computed together with it, by a closed form. The loss is
/// nevertheless an ordinary one with a graph: it can be scaled, added to other losses and
/// differentiated by autograd, which then finds the gradients ready.
///
///     auto& gradients = ready_.begin({weight, bias});
///     const double mean = compute(rows, gradients[0], gradients[1]);
///     const torch::Tensor loss = ready_.make_loss(mean);
///     ...
///     if (!ready_.backward(loss)) loss.backward();
class ReadyGradients {
 public:
  /// Whether gradients of this parameter can be made ready: it is float32, contiguous, on the CPU
  /// or a CUDA device, a leaf, and requires a gradient.
  static bool can_take(const torch::Tensor& parameter);

  /// Returns a tensor of the shape of each parameter, for its gradient to be written to; its values
  /// are undefined. Nothing is allocated if the tensors of the step before last aren't in use any
  /// more. They stay valid until the call of `begin` after the next.
  std::vector<torch::Tensor>& begin(std::vector<torch::Tensor> parameters);

  /// Returns the loss `value`, [], whose gradients are those of the last call of `begin`.
  torch::Tensor make_loss(double value);
  /// The same for a loss on the device of the parameters, float32 [], which nobody else changes.
  torch::Tensor make_loss(torch::Tensor value);

  /// Adds the gradients of `loss` to those of the parameters without autograd, and returns true.
  /// This is possible once, if `loss` is the tensor that this object returned last, there is no
  /// hook on it or the parameters, and autograd's anomaly mode is off. Otherwise does nothing and
  /// returns false.
  bool backward(const torch::Tensor& loss);

 private:
  std::vector<torch::Tensor> parameters_;
  // Two sets are used in turn, because the last step's may be in use until the optimizer drops it.
  std::array<std::vector<torch::Tensor>, 2> gradients_;
  size_t current_ = 0;
  torch::Tensor loss_;  // that was returned last
};

}  // namespace levin
