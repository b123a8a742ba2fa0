#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace levin {

/// Lets LibTorch's batch norms normalise by functions of somebody else while they are trained.
/// Nothing of the layers is replaced or changed: at::batch_norm, which they call, is led to the
/// function by the layer's tensors.
///
///     DivertedBatchNorms diverted;
///     diverted.add(norm, norm->weight, [&](const at::Tensor& input, double momentum) { ... });
///
/// The layers are led back when the object is destroyed. at::batch_norm with other tensors, and in
/// evaluation, does what it always does. Layers may be used in several threads.
class DivertedBatchNorms {
 public:
  /// Normalises `input`, [rows, channels, ...], by the statistics of its rows, and returns a tensor
  /// of the same shape and type. `momentum` is the weight of the batch in the running statistics,
  /// which the function updates if there are any.
  using Forward = std::function<at::Tensor(const at::Tensor& input, double momentum)>;

  DivertedBatchNorms() = default;
  ~DivertedBatchNorms();
  DivertedBatchNorms(const DivertedBatchNorms&) = delete;
  DivertedBatchNorms& operator=(const DivertedBatchNorms&) = delete;

  /// Diverts the layer whose weight or, without one, whose running mean is `key`.
  void add(std::shared_ptr<torch::nn::Module> layer, const at::Tensor& key, Forward forward);

 private:
  std::vector<at::Tensor> keys_;
};

}  // namespace levin
