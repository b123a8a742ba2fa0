#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include <levin/framework/core/options.h>
#include <levin/models/bfloat16_softmax_loss.h>
#include <levin/models/classifier.h>
#include <levin/models/softmax_loss.h>
#include <levin/models/sparse_device.h>

namespace levin {

/// The options have the names that Bolts and scikit-learn give them.
struct LogisticRegressionOptions {
  /// The number of features of a row; inputs of more dimensions are flattened to that. 0: that of
  /// the training data.
  int64_t in_features = 0;
  /// The number of classes, at least 2; they are numbered from 0. 0: that of the training data.
  int64_t num_classes = 0;
  bool bias = true;
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |W| and l2_strength * sum W^2, without the bias.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// "logistic" has one logit for two classes, "softmax" a logit for each class; "auto" is logistic
  /// if there are two classes, and else softmax.
  std::string loss = "auto";
  /// What more than two classes are: "multinomial", one softmax over all logits, or "ovr", a
  /// logistic regression for each class, of its rows against all others, by itself. The loss is
  /// then the sum of theirs, the most likely class is that of the largest logit, and the
  /// probabilities are the sigmoids, divided by their sum. class_weight = balanced gives each class
  /// as much weight as all others together. scikit-learn: OneVsRestClassifier(LogisticRegression).
  std::string multi_class = "multinomial";
  /// The numbers whose matrix products training steps of the softmax compute: "float32" or
  /// "bfloat16". Weights, logits, gradients and the sums of the products are float32 in either
  /// case, and evaluation multiplies float32 numbers. "bfloat16" is for many features and classes
  /// on a GPU, whose arithmetic is many times faster then. It costs accuracy: each factor is
  /// rounded to 8 significant bits, that is by up to 0.4 %, except rows of bytes, which are exact.
  /// Gradients of a batch are then off by about 0.2 % of their size, less than they differ from
  /// batch to batch, but too much for LBFGS and for convergence to many digits.
  std::string products = "float32";
  /// scikit-learn's way to give the penalties, instead of the two strengths: the smaller C, the
  /// stronger they are. With S the sum of the weights of all training rows (their number n, if they
  /// have none; see SupervisedModel),
  ///
  ///     l1_strength = l1_ratio / (C S)        l2_strength = (1 - l1_ratio) / (2 C S)
  ///
  /// scikit-learn minimises C * sum_i s_i loss_i + l1_ratio sum |W| + (1 - l1_ratio) / 2 sum W^2,
  /// which is C S times Levin's objective with these strengths. So C = 1 / (2 n l2_strength) if
  /// l1_ratio is 0. n is found when a fit begins, and anew for each fit.
  std::optional<double> C{};
  /// The L1 penalty's share, from 0 to 1, if C is given: 0 is ridge, 1 is lasso.
  double l1_ratio = 0.0;
  /// Weights of the classes, or "balanced": see ClassifierOptions.
  NumbersOrName class_weight{};
  /// Logged for validation and test, beside loss and accuracy: see ClassifierOptions.
  std::vector<NamedSettings> metrics{};
  /// Whether the gradient of the weights from sparse rows has only the columns in which the batch
  /// has entries, so that a step costs the more the more entries there are, however many columns.
  /// Needs an optimizer that takes such gradients, SGD without momentum or Adagrad, a single
  /// process, and no penalties, whose gradients have all columns. Dense rows aren't affected.
  bool sparse_gradients = false;
  /// Instead of training on batches by `optimizer`: minimise the loss over all training rows by a
  /// solver, one iteration an epoch, until no entry of the gradient is above `tol`. "lbfgs",
  /// "newton-cg", "trust-region", "newton-cholesky", "coordinate-descent", "sag", "saga",
  /// "dual-coordinate-descent" (see docs/solvers.md), or "auto", which takes
  /// coordinate-descent-or-lbfgs for an L1 penalty, newton-cholesky for up to 1,000 parameters,
  /// else lbfgs for up to 2,000 features, and else newton-cg. Empty: no solver.
  std::string solver{};
  double tol = 1e-4;
  int64_t max_iter = 1000;
  /// What the ranks of a run divide among them while a solver trains: "rows", or "features", for
  /// many more features than rows. The solvers lbfgs, newton-cg and trust-region can divide
  /// features; "auto" then chooses among them.
  std::string shard = "rows";
};

Fields describe(LogisticRegressionOptions& options);

/// A linear layer z = x W^T + b and, from z, the probability of each class: the sigmoid of a single
/// logit if there are two classes, else the softmax of all logits. Minimises
///
///     mean cross-entropy + l1_strength * sum |W| + l2_strength * sum W^2
///
/// or, with multi_class = ovr, the sum of the classes' mean logistic losses and the penalties (the
/// option C gives the strengths as scikit-learn does). "linear.weight" is [classes,
/// in_features] or [1, in_features], "linear.bias" [classes] or [1]. Bolts: LogisticRegression,
/// which divides its training loss by the batch size once more.
///
///     levin::LogisticRegression model({.C = 1.0});  // the sizes are those of the data
///     trainer.fit(model, data);
///
/// Sizes that aren't given are found when a fit begins (`prepare`) or a checkpoint is loaded; until
/// then the model has no parameters. `hyper_parameters` has them from then on. A later fit on data
/// of other sizes is refused.
///
/// A training step of the softmax in float32, on the CPU or a GPU, computes loss and gradient in
/// one pass over the rows where they lie (models/softmax_loss.h), and one with products = bfloat16
/// by products of rounded matrices (models/bfloat16_softmax_loss.h). Of sparse rows on a GPU, both
/// losses are computed so (models/sparse_device.h). Everything else uses autograd, in float32 with
/// the same result to 1e-6.
class LogisticRegression : public Classifier {
 public:
  using Options = LogisticRegressionOptions;
  /// Throws ConfigError for options that are out of range or exclude each other. `optimizers`: see
  /// Classifier.
  explicit LogisticRegression(LogisticRegressionOptions options,
                              const OptimizerList& optimizers = shipped_optimizers());

  /// Logits [rows, classes], or [rows, 1], of an input [rows, ...].
  torch::Tensor forward(const torch::Tensor& input) override;
  torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const override;
  torch::Tensor row_losses(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override;
  torch::Tensor probability_logits(const torch::Tensor& logits) const override;
  /// Throws ConfigError if several ranks were to sum sparse gradients.
  void on_fit_start(Run& run) override;
  /// Uses the gradients that the step computed together with the loss, or else autograd.
  void backward(const torch::Tensor& loss) override;
  /// True, but false in a subclass, which may do more in a step, unless it overrides this.
  bool capturable() const override;
  /// True if the steps compute loss and gradient together.
  bool reads_rows_in_place() const override;
  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  /// Nothing in a subclass, which may have another loss.
  std::optional<LinearLoss> linear_loss() const override;
  /// The solver, or else the optimizer.
  Optimizers configure_optimizers() override;
  Value hyper_parameters() const override;

 protected:
  torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& targets) override;
  /// With multi_class = ovr, [classes, classes]: see LinearLoss::class_weight.
  torch::Tensor balanced_weights(const torch::Tensor& sums) const override;
  /// Whether steps may use the closed form of the gradient. False in a subclass, which may have
  /// another `forward` or `loss`, unless it overrides this.
  virtual bool has_closed_form() const;
  /// The loss of the layer over all rows, with the strengths that are set; the layer has to be
  /// there.
  LinearLoss loss_of_rows() const;

 private:
  std::string chosen_solver() const;
  std::unique_ptr<Optimizer> make_solver(const std::string& name,
                                         std::vector<torch::Tensor> parameters) const;
  void make_layer();
  void set_strengths_by_c(const TrainingSet& train);
  bool has_bfloat16_products() const { return options_.products == "bfloat16"; }
  /// Of two classes, the one against the rest is the logistic loss anyway.
  bool is_one_vs_rest() const { return options_.multi_class == "ovr" && num_classes() != 2; }

  LogisticRegressionOptions options_;
  ModelSize in_features_;
  torch::nn::Linear linear_{nullptr};
  SoftmaxLoss softmax_loss_;
  Bfloat16SoftmaxLoss bfloat16_softmax_loss_;
  SparseClassLoss sparse_loss_;
  OptimizerList optimizers_;
};

}  // namespace levin
