#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <levin/framework/data/batch.h>

namespace levin {

/// The mean softmax cross-entropy of a linear layer and its gradient in one pass over the rows, by
/// the closed form (softmax - one hot) x^T: no logits, no probabilities and no copy of the batch in
/// memory, and no autograd. The result is an ordinary loss with a graph all the same: it can be
/// scaled, added to and differentiated by autograd, which then finds the gradient done.
class SoftmaxLoss {
 public:
  /// Whether the pass is for them: float32 parameters on the CPU that are learnt (`bias` may be
  /// undefined), few enough to stay in the cache, and rows of floats or of scaled bytes.
  static bool takes(const RowView& rows, const torch::Tensor& weight, const torch::Tensor& bias);

  /// The loss, [], of `rows` [rows, features] with `labels` [rows] int64 in [0, classes) under
  /// `weight` [classes, features] and `bias` [classes].
  torch::Tensor operator()(const RowView& rows, const torch::Tensor& labels,
                           const torch::Tensor& weight, const torch::Tensor& bias);

  /// Adds the gradients of `loss` to the parameters' and returns true, where it is the last one
  /// this made and nobody but autograd's own nodes would hear of it; else does nothing.
  bool backward(const torch::Tensor& loss);

 private:
  struct Gradients {
    torch::Tensor weight;
    torch::Tensor bias;
  };
  Gradients& free_gradients(const torch::Tensor& weight, const torch::Tensor& bias);
  double run(const RowView& rows, const torch::Tensor& labels, const torch::Tensor& weight,
             const torch::Tensor& bias, Gradients& gradients);

  // Two, since the last step's may be in use until its gradients are dropped.
  std::array<Gradients, 2> gradients_;
  size_t next_ = 0;
  std::vector<float> scratch_;  // of all threads
  // Of the last loss.
  torch::Tensor loss_;
  torch::Tensor weight_;
  torch::Tensor bias_;
  Gradients last_;
};

}  // namespace levin
