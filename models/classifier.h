#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/optimizers/optimizer_list.h>
#include <levin/framework/run/module.h>

namespace levin {

/// Logits come as [rows, classes], or for two classes as [rows, 1] (or [rows]): one logit, that of
/// class 1, whose probability is its sigmoid.

/// The most likely class of each row, [rows] int64; the lower of two equals.
torch::Tensor predicted_classes(const torch::Tensor& logits);
/// Softmax or sigmoid of the logits, [rows, classes]; rows sum to 1, with one logit too.
torch::Tensor class_probabilities(const torch::Tensor& logits);
/// The share of rows whose predicted class is `targets`, [] float64. `targets`: [rows], integers.
torch::Tensor accuracy(const torch::Tensor& logits, const torch::Tensor& targets);
/// The mean cross-entropy over the rows, [], stable for logits of any size.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets);

/// `input` [rows, ...] as a first layer of weight [out, features] takes it: [rows, features], in
/// the weight's type (raw bytes of images just work). Throws DataError for another number of
/// features.
torch::Tensor flatten_for(const torch::Tensor& weight, const torch::Tensor& input);

/// What every classifier can be told besides its shape.
struct ClassifierOptions {
  /// Classes, numbered from 0; at least 2.
  int64_t num_classes = 0;
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |w| + l2_strength * sum w^2 over the weights, not biases.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
};

/// A module that sorts rows into classes: subclass it and write `forward`.
///
/// Minimises mean cross-entropy + l1_strength * sum |w| + l2_strength * sum w^2. Logs train_loss,
/// val_loss and test_loss, all of them the mean cross-entropy alone, so that they compare; val_acc,
/// test_acc; and train_penalty where there is one. Labels: [rows] of any integer type.
class Classifier : public Module {
 public:
  /// `options.optimizer` is looked up among `optimizers`; a model made from a configuration gets
  /// those of the registry, so a subclass should pass on what it is given. Throws ConfigError for
  /// fewer than two classes, a negative number, an unknown optimizer, and an optimizer that has no
  /// setting `learning_rate`.
  explicit Classifier(ClassifierOptions options,
                      const OptimizerList& optimizers = shipped_optimizers());

  /// The logits of a batch of inputs [rows, ...].
  virtual torch::Tensor forward(const torch::Tensor& input) = 0;
  /// The loss of the batch without penalties; override for another one. `targets`: [rows] int64.
  virtual torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const;
  /// l1_strength * sum |w| + l2_strength * sum w^2, [], with a graph; undefined without strengths.
  torch::Tensor penalty() const;
  /// What the penalties are of: by default all parameters of two or more dimensions.
  virtual std::vector<torch::Tensor> penalised_parameters() const;

  /// Throw DataError for labels that aren't classes (see `check_data`).
  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// "class" [rows] int64 and "probability" [rows, classes].
  NamedTensors predict_step(const Batch& batch, Step& step) override;
  Optimizers configure_optimizers() override;

  /// Throws DataError, naming the row, where a label is no integer in [0, num_classes).
  void check_data(const DataLoaders& loaders) const override;
  /// The same for a batch that is still on the CPU: a device couldn't say which label it was.
  void on_before_batch_transfer(Batch& batch) override;

  int64_t num_classes() const { return options_.num_classes; }
  double learning_rate() const { return options_.learning_rate; }
  /// For the next fit. Throws ConfigError for a negative rate.
  void set_learning_rate(double learning_rate);

 protected:
  /// The loss of a training batch without penalties: `loss` of `forward`. Override where both in
  /// one go are cheaper. `targets`: [rows] int64, each in [0, num_classes).
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
