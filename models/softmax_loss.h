#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/data/rows.h>
#include <levin/models/ready_gradients.h>

namespace levin {

/// The mean softmax cross-entropy of a linear layer together with its gradient, computed in one
/// pass over the rows x of a batch by the closed form
///
///     d loss / d weight = mean over the rows of (softmax(weight x + bias) - one hot) x^T
///
/// No logits, no probabilities and no copy of the batch are held in memory, and autograd isn't
/// needed. The result is nevertheless an ordinary loss with a graph: it can be scaled, added to
/// other losses and differentiated by autograd, which then finds the gradient ready.
///
///     if (const auto rows = SoftmaxLoss::view(batch.input_rows(), weight, bias)) {
///       const auto loss = softmax_loss(*rows, labels, weight, bias);
///       if (!softmax_loss.backward(loss)) loss.backward();
///     }
class SoftmaxLoss {
 public:
  /// Whether the pass can be used for these parameters: they are float32, contiguous, require
  /// gradients, and are on the CPU and few enough to stay in the cache, or on a GPU and of at most
  /// 64 classes, in a build with CUDA kernels. `bias` may be undefined.
  static bool can_learn(const torch::Tensor& weight, const torch::Tensor& bias);
  /// Returns the rows as the pass reads them, in place, or nothing if the pass can't be used. It
  /// can be used if `can_learn` is true for the parameters, gradients are being recorded, there is
  /// at least one row, and each row consists of as many float32 numbers or scaled bytes as `weight`
  /// has columns, which lie in plain memory or on the GPU of `weight`.
  static std::optional<kernels::RowView> view(const Rows& rows, const torch::Tensor& weight,
                                              const torch::Tensor& bias);

  /// Returns the loss, [], of `rows` [rows, features], as `view` gives them, with `labels` [rows]
  /// int64 for `weight` [classes, features] and `bias` [classes]. Each label must be in [0,
  /// classes), which isn't checked. Large passes are cut into parts for `share_out`; the result has
  /// the same bits for any number of threads. If `weight` is on a GPU, so are the rows, the labels
  /// and the loss, and nothing is waited for.
  torch::Tensor operator()(const kernels::RowView& rows, const torch::Tensor& labels,
                           const torch::Tensor& weight, const torch::Tensor& bias);

  /// Adds the gradients of `loss` to those of the parameters without autograd, and returns true; or
  /// does nothing and returns false, as ReadyGradients::backward says. Call `loss.backward()` then.
  bool backward(const torch::Tensor& loss) { return ready_.backward(loss); }

 private:
  torch::Tensor on_device(const kernels::RowView& rows, const torch::Tensor& labels,
                          const torch::Tensor& weight, const torch::Tensor& bias);

  ReadyGradients ready_;
  std::vector<float> scratch_;  // of all threads
};

}  // namespace levin
