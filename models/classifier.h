#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/models/evaluation_metrics.h>
#include <levin/models/supervised_model.h>

namespace levin {

// Logits are [rows, classes]. Two classes may have a single logit a row instead, [rows, 1] or
// [rows]: that of class 1, whose probability is the logit's sigmoid.

/// Returns the most likely class of each row, [rows] int64; of two equally likely ones the lower.
torch::Tensor predicted_classes(const torch::Tensor& logits);
/// Returns the probability of each class, [rows, classes]: the softmax of the logits, or for a
/// single logit z the row (1 - sigmoid(z), sigmoid(z)).
torch::Tensor class_probabilities(const torch::Tensor& logits);
/// Returns the share of rows whose predicted class is that of `targets`, [] float64. `targets`:
/// [rows] of any integer type.
torch::Tensor accuracy(const torch::Tensor& logits, const torch::Tensor& targets);
/// Returns the mean cross-entropy over the rows, []. It is computed from the logits, so that large
/// ones neither overflow nor lose precision, and in float32 at least. `targets`: [rows] int64.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets);
/// Returns the cross-entropy of each row, [rows].
torch::Tensor row_cross_entropies(const torch::Tensor& logits, const torch::Tensor& targets);

/// The options that all classifiers share.
struct ClassifierOptions {
  /// The number of classes, at least 2; labels are 0 to num_classes - 1. 0: that of the training
  /// data, which is known once `prepare` was called.
  int64_t num_classes = 0;
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |w| + l2_strength * sum w^2 over the weights, not biases.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// Weights of the classes, one each, by which the weights of their rows are multiplied in
  /// training: for targets of which some classes are rare. "balanced" gives class k the weight
  /// S / (K * S_k), with S the sum of the weights of all training rows, S_k that of the class's and
  /// K the number of classes that have rows: all classes weigh the same then. scikit-learn: the
  /// same.
  NumbersOrName class_weight{};
  /// What validation and test log beside loss and accuracy, such as {"auroc", "recall"} or
  /// {{"fbeta", Value::Object{{"beta", 2.0}}}}: metrics of classes by name, with settings if
  /// wanted (see EvaluationMetrics and `levin list metrics`). Useful if some classes are rare.
  std::vector<NamedSettings> metrics{};
};

/// A module that assigns each row to a class: subclass it and override `forward`.
///
/// Minimises mean cross-entropy + l1_strength * sum |w| + l2_strength * sum w^2. Logs train_loss,
/// val_loss and test_loss, which are the mean cross-entropy without the penalties and so can be
/// compared (scikit-learn: log_loss); val_acc and test_acc; what `metrics` asks for, with the names
/// of the classes if the data have some; and train_penalty if there is a penalty. Batches have
/// "input"
/// [rows, ...], "target" [rows] of any integer type and, if rows have weights, "weight" [rows] (see
/// SupervisedModel); `predict` needs only the input. Weights of rows and classes count in training
/// alone: validation and test measure the rows as they are.
///
///     class Net : public levin::Classifier {
///      public:
///       Net() : Classifier({.num_classes = 10}), linear_(784, 10) {
///         register_module("linear", linear_);
///       }
///       torch::Tensor forward(const torch::Tensor& input) override {
///         return linear_(levin::flatten_for(linear_->weight, input));
///       }
///      private:
///       torch::nn::Linear linear_;
///     };
class Classifier : public SupervisedModel {
 public:
  /// `options.optimizer` is looked up among `optimizers`; a model made from a configuration gets
  /// those of the registry, so a subclass should pass on what it is given. Throws ConfigError for
  /// one class, a class_weight that can't be, unknown metrics, and as SupervisedModel does.
  explicit Classifier(ClassifierOptions options,
                      const OptimizerList& optimizers = shipped_optimizers());

  /// Returns the logits of `input` [rows, ...]: [rows, num_classes], or for two classes [rows, 1].
  virtual torch::Tensor forward(const torch::Tensor& input) = 0;
  /// Returns the loss of a batch without the penalties, []; by default cross_entropy. Override it
  /// for another loss. `targets`: [rows] int64.
  virtual torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const;
  /// Returns the loss of each row, [rows], of which training takes the weighted mean if there are
  /// weights: by default row_cross_entropies. Override it together with `loss`.
  virtual torch::Tensor row_losses(const torch::Tensor& logits, const torch::Tensor& targets) const;
  /// Returns numbers [rows, num_classes], or [rows, 1], whose `class_probabilities` are those of
  /// the model: by default the logits. Override it for a loss that means other probabilities.
  virtual torch::Tensor probability_logits(const torch::Tensor& logits) const { return logits; }

  /// The steps throw DataError for labels that aren't classes (see `check_data`).
  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// These two tell the metrics the names of the classes; a subclass that overrides one calls it.
  void on_validation_epoch_start(Run& run) override;
  void on_test_epoch_start(Run& run) override;
  /// Returns "class" [rows] int64 and "probability" [rows, classes]; records no gradients.
  NamedTensors predict(const Batch& batch) override;

  /// Finds the number of classes if it wasn't given, and what `class_weight` needs. Throws
  /// ConfigError if it can't, and DataError if the data have more classes than the model found in
  /// those of its first fit.
  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  /// Throws DataError, naming the row, if a label isn't an integer in [0, num_classes). Looks at
  /// data sets in memory; others are checked batch by batch.
  void check_data(const DataLoaders& loaders) const override;
  /// Checks the labels of a batch in the same way while it is on the CPU: on a GPU a label out of
  /// range would end the process without saying which label it was.
  void on_before_batch_transfer(Batch& batch) override;

  /// 0 if it isn't known yet.
  int64_t num_classes() const { return num_classes_.value(); }
  /// The weight of each class, [num_classes] float64; undefined without class_weight, or if it is
  /// "balanced" and `prepare` wasn't called. Or what `balanced_weights` says of a subclass.
  const torch::Tensor& class_weights() const { return class_weights_; }

 protected:
  /// Returns the loss of a training batch without the penalties from its logits: `loss`, or, if
  /// rows or classes have weights, the weighted mean of `row_losses`. Throws DataError for labels
  /// that aren't classes.
  torch::Tensor training_loss(const torch::Tensor& logits, const Batch& batch);

  /// Returns the loss of a training batch without the penalties: by default `loss` of `forward`,
  /// or, if rows or classes have weights, the weighted mean of `row_losses`. Override it if
  /// computing both at once is cheaper, for batches without weights. `targets`: [rows] int64, each
  /// in [0, num_classes).
  virtual torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& targets);

  /// Whether rows of the batch, or classes, have weights.
  bool has_weights(const Batch& batch) const;
  /// The weight of each row together with that of its class, [rows], or [rows, outputs] if the
  /// classes have several weights each.
  torch::Tensor weights_of(const Batch& batch, const torch::Tensor& targets);
  /// The weights that class_weight = balanced means, if the rows of each class have the weights
  /// `sums`, [num_classes] float64, together: [num_classes], or [num_classes, outputs] if a class
  /// has one for each output. By default, S / (K * S_k).
  virtual torch::Tensor balanced_weights(const torch::Tensor& sums) const;

 private:
  torch::Tensor labels(const Batch& batch) const;
  torch::Tensor class_sums(const TrainingSet& train) const;
  void prepare_class_weights(const TrainingSet& train);
  void evaluate(const Batch& batch, Step& step, bool is_test);

  ModelSize num_classes_;
  NumbersOrName class_weight_;
  torch::Tensor class_weights_;
  EvaluationMetrics<ClassMetric> metrics_;
  torch::Tensor class_weights_there_;  // in the type and on the device of the labels
};

}  // namespace levin
