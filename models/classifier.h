#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/run/module.h>
#include <levin/framework/solvers/optimizer_list.h>

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
/// ones neither overflow nor lose precision. `targets`: [rows] int64.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets);

/// Returns `input` [rows, ...] as [rows, features] in the type of `weight` [out, features], so that
/// a linear layer with that weight takes it, images of bytes included. A sparse CSR tensor stays
/// one, for `linear` (models/linear.h). Throws DataError if the rows have another number of
/// features.
torch::Tensor flatten_for(const torch::Tensor& weight, const torch::Tensor& input);

/// The options that all classifiers share.
struct ClassifierOptions {
  /// The number of classes, at least 2; labels are 0 to num_classes - 1.
  int64_t num_classes = 0;
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |w| + l2_strength * sum w^2 over the weights, not biases.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
};

/// A module that assigns each row to a class: subclass it and override `forward`.
///
/// Minimises mean cross-entropy + l1_strength * sum |w| + l2_strength * sum w^2. Logs train_loss,
/// val_loss and test_loss, which are the mean cross-entropy without the penalties and so can be
/// compared; val_acc and test_acc; and train_penalty if there is a penalty. Batches have "input"
/// [rows, ...] and "target" [rows] of any integer type; `predict` needs only the input.
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
class Classifier : public Module {
 public:
  /// `options.optimizer` is looked up among `optimizers`; a model made from a configuration gets
  /// those of the registry, so a subclass should pass on what it is given. Throws ConfigError for
  /// fewer than two classes, a negative learning rate or strength, an unknown optimizer, and an
  /// optimizer that has no setting `learning_rate`.
  explicit Classifier(ClassifierOptions options,
                      const OptimizerList& optimizers = shipped_optimizers());

  /// Returns the logits of `input` [rows, ...]: [rows, num_classes], or for two classes [rows, 1].
  virtual torch::Tensor forward(const torch::Tensor& input) = 0;
  /// Returns the loss of a batch without the penalties, []; by default cross_entropy. Override it
  /// for another loss. `targets`: [rows] int64.
  virtual torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const;
  /// Returns l1_strength * sum |w| + l2_strength * sum w^2, [], with a graph; an undefined tensor
  /// if both strengths are 0.
  torch::Tensor penalty() const;
  /// Returns the parameters w that the penalties sum over: by default all of two or more
  /// dimensions, which leaves out biases.
  virtual std::vector<torch::Tensor> penalised_parameters() const;

  /// The steps throw DataError for labels that aren't classes (see `check_data`).
  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// Returns "class" [rows] int64 and "probability" [rows, classes]; records no gradients.
  NamedTensors predict(const Batch& batch) override;
  Optimizers configure_optimizers() override;

  /// Throws DataError, naming the row, if a label isn't an integer in [0, num_classes). Looks at
  /// data sets in memory; others are checked batch by batch.
  void check_data(const DataLoaders& loaders) const override;
  /// Checks the labels of a batch in the same way while it is on the CPU: on a GPU a label out of
  /// range would end the process without saying which label it was.
  void on_before_batch_transfer(Batch& batch) override;

  int64_t num_classes() const { return options_.num_classes; }
  double learning_rate() const { return options_.learning_rate; }
  /// Sets the learning rate of the next fit. Throws ConfigError for a negative one.
  void set_learning_rate(double learning_rate);

 protected:
  /// Returns the loss of a training batch without the penalties: by default `loss` of `forward`.
  /// Override it if computing both at once is cheaper. `targets`: [rows] int64, each in
  /// [0, num_classes).
  virtual torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& targets);

 private:
  torch::Tensor labels(const Batch& batch) const;
  void evaluate(const Batch& batch, Step& step, std::string_view loss_name,
                std::string_view accuracy_name);

  ClassifierOptions options_;
  OptimizerList::Entry optimizer_;
  mutable std::vector<torch::Tensor> penalised_;
};

}  // namespace levin
