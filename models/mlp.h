#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include <levin/framework/core/options.h>
#include <levin/models/classifier.h>

namespace levin {

/// in_features and num_classes must be given.
struct MLPOptions {
  /// Features a row; inputs of more dimensions are flattened to that.
  int64_t in_features = 0;
  /// Classes, numbered from 0; at least 2.
  int64_t num_classes = 0;
  /// Units of each hidden layer; none makes a softmax regression.
  std::vector<int64_t> hidden_sizes = {32};
  /// Between the layers: "relu", "tanh", "sigmoid", "gelu", "leaky_relu", "elu", "silu",
  /// "identity".
  std::string activation = "relu";
  /// Share of hidden units left out at random in each training step, in [0, 1).
  double dropout = 0.0;
  bool bias = true;
  double learning_rate = 1e-3;
  /// The name of an optimizer, "SGD", "Adam", "LBFGS" ..., which gets its default settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |W| and l2_strength * sum W^2; biases are free.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
};

Fields describe(MLPOptions& options);

/// A feed-forward net: each hidden layer is activation(x W^T + b), then dropout; the last one gives
/// a logit a class, whose softmax is its probability.
///
/// Layer i has "layer<i>.weight" [sizes[i + 1], sizes[i]] and "layer<i>.bias" [sizes[i + 1]].
/// in_features = 784, hidden_sizes = {32} and num_classes = 10 make 25,450 parameters.
class MLP : public Classifier {
 public:
  using Options = MLPOptions;
  /// Throws ConfigError for options that can't be. `optimizers`: see Classifier.
  explicit MLP(MLPOptions options, const OptimizerList& optimizers = shipped_optimizers());

  /// Logits [rows, classes] of an input [rows, ...].
  torch::Tensor forward(const torch::Tensor& input) override;
  Value hyper_parameters() const override;

 private:
  MLPOptions options_;
  torch::Tensor (*activation_)(const torch::Tensor&);
  std::vector<torch::nn::Linear> layers_;
};

}  // namespace levin
