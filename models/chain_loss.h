#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include <levin/models/activation.h>
#include <levin/models/ready_gradients.h>

namespace levin {

/// A linear layer of a chain: `weight` [out, in], `bias` [out] or undefined.
struct ChainLayer {
  torch::Tensor weight;
  torch::Tensor bias;
};

/// The mean softmax cross-entropy of a chain of linear layers with an activation between them,
/// together with its gradients: the forward pass, the loss and the backward pass as matrix products
/// into memory that is kept from step to step, without autograd. The result is nevertheless an
/// ordinary loss with a graph (see ReadyGradients). For a module of your own that is such a chain:
///
///     torch::Tensor batch_loss(const levin::Batch& batch, const torch::Tensor& targets) override {
///       const auto input = levin::flatten_for(layers_[0].weight, batch.input());
///       if (!chain_loss_.can_learn(input, layers_)) return Classifier::batch_loss(batch, targets);
///       return chain_loss_(input, targets, layers_);
///     }
///     void backward(const torch::Tensor& loss) override {
///       if (!chain_loss_.backward(loss)) Classifier::backward(loss);
///     }
///
/// Bits are the same for any number of threads.
class ChainLoss {
 public:
  explicit ChainLoss(const Activation& activation) : activation_(activation) {}

  /// Whether the closed form can be used: gradients are being recorded, the input [rows, in] is a
  /// contiguous float32 matrix on the CPU with at least one row and requires no gradient, the
  /// parameters are of the kind that ReadyGradients takes, and autocast is off.
  static bool can_learn(const torch::Tensor& input, const std::vector<ChainLayer>& layers);

  /// Returns the loss, []. `labels`: [rows] int64, each in [0, classes), which isn't checked.
  torch::Tensor operator()(const torch::Tensor& input, const torch::Tensor& labels,
                           const std::vector<ChainLayer>& layers);

  /// Adds the gradients of `loss` to those of the parameters without autograd, and returns true; or
  /// does nothing and returns false, as ReadyGradients::backward says. Call `loss.backward()` then.
  bool backward(const torch::Tensor& loss) { return ready_.backward(loss); }

 private:
  /// What is kept for a layer, [rows, out] each.
  struct Kept {
    torch::Tensor sum;       // weight x + bias; in the last layer the logits, then their gradient
    torch::Tensor output;    // activation(sum); may be `sum` itself
    torch::Tensor gradient;  // of `sum`, except in the last layer
  };
  void make_room(int64_t rows, const std::vector<ChainLayer>& layers);
  void reserve_logits(int64_t rows, int64_t classes);
  double softmax_gradient(const torch::Tensor& labels);

  const Activation& activation_;
  ReadyGradients ready_;
  std::vector<Kept> kept_;
  torch::Tensor padded_logits_;  // [at least rows, padded_classes]; the last layer's are a part
  // Of the parts of a batch.
  std::vector<double> losses_;
  std::vector<float> scratch_;
};

}  // namespace levin
