#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/modules/linear.h>

#include <levin/framework/core/options.h>
#include <levin/models/classifier.h>
#include <levin/models/softmax_loss.h>

namespace levin {

/// Bolts' names; num_classes and in_features must be given.
struct LogisticRegressionOptions {
  /// Features a row; inputs of more dimensions are flattened to that.
  int64_t in_features = 0;
  /// Classes, numbered from 0; at least 2.
  int64_t num_classes = 0;
  bool bias = true;
  double learning_rate = 1e-3;
  /// The name of an optimizer, "SGD", "Adam", "LBFGS" ..., which gets its default settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |W| and l2_strength * sum W^2; the bias is free.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// "logistic": one logit for two classes; "softmax": a logit a class; "auto": logistic where
  /// there are two classes.
  std::string loss = "auto";
};

Fields describe(LogisticRegressionOptions& options);

/// z = x W^T + b and, from it, the probability of each class: the sigmoid of one logit where there
/// are two classes, else the softmax of K. Minimises
///
///     mean cross-entropy + l1_strength * sum |W| + l2_strength * sum W^2
///
/// (scikit-learn's C is 1 / (2 n l2_strength) for n rows). "linear.weight" is [classes,
/// in_features] or [1, in_features], "linear.bias" [classes] or [1]. Bolts: LogisticRegression,
/// which divides its training loss by the batch size once more.
///
/// A training step of the softmax on the CPU in float32 takes loss and gradient in one pass over
/// the rows (models/softmax_loss.h); anything else goes by way of autograd, with the same result to
/// 1e-6.
class LogisticRegression : public Classifier {
 public:
  using Options = LogisticRegressionOptions;
  /// Throws ConfigError for options that can't be. `optimizers`: see Classifier.
  explicit LogisticRegression(LogisticRegressionOptions options,
                              const OptimizerList& optimizers = shipped_optimizers());

  /// Logits [rows, classes], or [rows, 1], of an input [rows, ...].
  torch::Tensor forward(const torch::Tensor& input) override;
  /// Takes the gradients as the step has left them, where it has; else by autograd.
  void backward(const torch::Tensor& loss) override;
  Value hyper_parameters() const override;

 protected:
  torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& targets) override;
  /// Whether steps may use the closed form of the gradient: not in a subclass, unless it says so,
  /// since that may have another `forward` or `loss`.
  virtual bool has_closed_form() const;

 private:
  LogisticRegressionOptions options_;
  torch::nn::Linear linear_;
  SoftmaxLoss softmax_loss_;
};

}  // namespace levin
