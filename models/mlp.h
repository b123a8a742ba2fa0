#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include <levin/framework/core/options.h>
#include <levin/framework/nn/tensor_shards.h>
#include <levin/framework/run/has_layers.h>
#include <levin/models/activation.h>
#include <levin/models/chain_loss.h>
#include <levin/models/classifier.h>

namespace levin {

/// The options of MLP.
struct MLPOptions {
  /// The number of features of a row; rows of more dimensions are flattened. 0: that of the
  /// training data.
  int64_t in_features = 0;
  /// The number of classes, at least 2; labels are 0 to num_classes - 1. 0: that of the training
  /// data.
  int64_t num_classes = 0;
  /// The number of units of each hidden layer. An empty list makes a softmax regression.
  std::vector<int64_t> hidden_sizes = {32};
  /// The function applied to each hidden unit: "relu", "tanh", "sigmoid", "gelu", "leaky_relu",
  /// "elu", "silu", "identity".
  std::string activation = "relu";
  /// The share of hidden units left out at random in each training step, in [0, 1).
  double dropout = 0.0;
  /// Whether each unit has a bias.
  bool bias = true;
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |W| + l2_strength * sum W^2 over the weights, not biases.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// Weights of the classes, or "balanced": see ClassifierOptions.
  NumbersOrName class_weight{};
  /// Logged for validation and test, beside loss and accuracy: see ClassifierOptions.
  std::vector<NamedSettings> metrics{};
};

Fields describe(MLPOptions& options);

/// A feed-forward net. Each hidden layer computes activation(x W^T + b), followed by dropout; the
/// last layer computes a logit for each class, and the softmax of the logits are the probabilities.
///
///     levin::MLP model({.in_features = 784, .num_classes = 10, .hidden_sizes = {128, 64}});
///
/// With sizes = {in_features, hidden_sizes..., num_classes}, layer i has the parameters
/// "layer<i>.weight" [sizes[i + 1], sizes[i]] and "layer<i>.bias" [sizes[i + 1]]: 784, {32} and 10
/// make 25,450 parameters. Sizes that aren't given are found when a fit begins or a checkpoint is
/// loaded, as in LogisticRegression.
///
/// The option pipeline_size can spread the layers over ranks (docs/pipeline.md), and tensor_size
/// can divide their matrices among ranks (docs/parallelism.md), but not both, and unless there is a
/// penalty. Of every two layers, the first is then divided by its units and the second by its
/// features; a last one without a partner is whole, or divided by its features if it is the only
/// one.
///
/// A training step on the CPU in float32 without dropout computes loss and gradients without
/// autograd (models/chain_loss.h), with the same result to 1e-6.
class MLP : public Classifier, public HasLayers, public TensorParallelLayer {
 public:
  using Options = MLPOptions;
  /// Throws ConfigError for sizes below 1 (below 2 classes, but 0 stands for the data's), an
  /// unknown activation or optimizer, and a dropout that isn't in [0, 1). `optimizers`: see
  /// Classifier.
  explicit MLP(MLPOptions options, const OptimizerList& optimizers = shipped_optimizers());

  /// Returns the logits [rows, num_classes] of an input [rows, ...].
  torch::Tensor forward(const torch::Tensor& input) override;
  /// Throws ModuleError if the sizes aren't known yet, or in a subclass, which may have another
  /// `forward`, unless it overrides this; and ConfigError for a model with penalties, which are
  /// sums over the weights of all layers.
  torch::nn::Sequential layers() override;
  /// True, but false in a subclass, which may do more in a step, unless it overrides this.
  bool capturable() const override;
  /// True if steps use the closed form and the first layer's weights are few.
  bool reads_rows_in_place() const override;
  /// Uses the gradients that the step computed together with the loss, or else autograd.
  void backward(const torch::Tensor& loss) override;
  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  /// Returns the options, with the sizes that were found and the learning rate that
  /// `set_learning_rate` gave.
  Value hyper_parameters() const override;

 protected:
  torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& targets) override;
  /// Throws as `layers`, and ConfigError if the layers are spread over a pipeline or too small.
  TensorShards shards_of(int64_t rank, int64_t ranks) const override;
  torch::Tensor divided_parameter(const std::string& name) override;
  /// Whether steps may use the closed form of the gradients. False in a subclass, which may have
  /// another `forward` or `loss`, unless it overrides this. With dropout, they never do.
  virtual bool has_closed_form() const;

 private:
  void make_layers();
  void refuse_parts(const char* ranks, const char* option) const;
  torch::Tensor divided_forward(const torch::Tensor& input);
  torch::Tensor dropped_out(const torch::Tensor& units, const ShardRange* shard) const;
  bool uses_closed_form() const;
  const std::vector<ChainLayer>& chain() const;

  MLPOptions options_;
  ModelSize in_features_;
  const Activation& activation_;
  ChainLoss chain_loss_;
  std::vector<torch::nn::Linear> layers_;
  mutable std::vector<ChainLayer> chain_;  // the parameters of layers_
};

}  // namespace levin
