#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include <levin/framework/core/options.h>
#include <levin/models/evaluation_metrics.h>
#include <levin/models/supervised_model.h>

namespace levin {

/// The options of LinearRegression.
struct LinearRegressionOptions {
  /// The number of features of a row; inputs of more dimensions are flattened to that. 0: that of
  /// the training data.
  int64_t in_features = 0;
  /// The number of values that are predicted for a row. 0: that of the training data.
  int64_t out_features = 0;
  bool bias = true;
  double learning_rate = 1e-3;
  /// The name of an optimizer, which gets `learning_rate` and defaults for its other settings, or
  /// of a solver, which minimises over all training rows at once (docs/solvers.md).
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |W| and l2_strength * sum W^2, without the bias.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// What validation and test log beside the loss: metrics of values by name, with settings if
  /// wanted (see EvaluationMetrics and `levin list metrics`).
  std::vector<NamedSettings> metrics = {"mae", "r2"};
};

Fields describe(LinearRegressionOptions& options);

/// A linear layer x W^T + b that predicts values: least squares, and with penalties ridge, lasso or
/// elastic net. Minimises
///
///     mean squared error + l1_strength * sum |W| + l2_strength * sum W^2
///
/// where the mean goes over the n rows and the k outputs. scikit-learn adds up the outputs' errors
/// instead, which is k times as much, and uses other factors; its coefficients are those of
///
///     Ridge(alpha)                 l2_strength = alpha / (n k)
///     Lasso(alpha)                 l1_strength = 2 alpha / k
///     ElasticNet(alpha, l1_ratio)  l1_strength = 2 alpha l1_ratio / k
///                                  l2_strength = alpha (1 - l1_ratio) / k
///
/// because Ridge minimises sum (y - Xw)^2 + alpha sum w^2, which is n k times the objective above,
/// and the other two minimise sum (y - Xw)^2 / (2 n) + alpha (l1_ratio sum |w| + (1 - l1_ratio) / 2
/// sum w^2), which is k / 2 times it. With weights of rows, n is their sum (see SupervisedModel).
/// The subgradient of |W| doesn't stop at 0: steps of an optimizer make weights small, but not 0. A
/// solver finds the optimum, with its zeros:
///
///     levin::LinearRegression lasso({.optimizer = "coordinate-descent", .l1_strength = 0.1});
///
///     levin::LinearRegression model({.learning_rate = 0.05, .l2_strength = 1e-3});
///     trainer.fit(model, data);
///
/// Batches are {"input": [rows, ...], "target": [rows] or [rows, out_features]} and may have
/// "weight" [rows]. Logs train_loss, val_loss and test_loss, the mean squared error without the
/// penalties; what `metrics` names, by default val_mae and test_mae, the mean absolute error, and
/// val_r2 and test_r2, R^2 over all rows of the epoch, of several loaders together; and
/// train_penalty if there is a penalty.
/// Sizes that aren't given are found when a fit begins or a checkpoint is loaded, as in
/// LogisticRegression. "linear.weight" is [out_features, in_features], "linear.bias"
/// [out_features]. Bolts: LinearRegression.
class LinearRegression : public SupervisedModel {
 public:
  using Options = LinearRegressionOptions;
  /// Throws ConfigError for options that are out of range. `optimizers`: see SupervisedModel.
  explicit LinearRegression(LinearRegressionOptions options = {},
                            const OptimizerList& optimizers = shipped_optimizers());

  /// Values [rows, out_features] of an input [rows, ...].
  virtual torch::Tensor forward(const torch::Tensor& input);
  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// Returns "value", [rows] if there is one output, and else [rows, out_features]; records no
  /// gradients.
  NamedTensors predict(const Batch& batch) override;

  /// True, but false in a subclass, which may do more in a step, unless it overrides this.
  bool capturable() const override;
  /// Nothing in a subclass, which may have another loss.
  std::optional<LinearLoss> linear_loss() const override;
  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  /// The options, with the sizes that were found and the learning rate that was set.
  Value hyper_parameters() const override;

 private:
  void make_layer();
  torch::Tensor values_of(const Batch& batch, const torch::Tensor& predictions) const;
  void evaluate(const Batch& batch, Step& step, const std::string& stage);

  LinearRegressionOptions options_;
  ModelSize in_features_;
  ModelSize out_features_;
  torch::nn::Linear linear_{nullptr};
  EvaluationMetrics<RegressionMetric> metrics_;
};

}  // namespace levin
