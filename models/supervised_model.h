#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/training_set.h>
#include <levin/framework/run/module.h>
#include <levin/framework/solvers/optimizer_list.h>

namespace levin {

/// Returns `input` [rows, ...] as [rows, features] in the type of `weight` [out, features], so that
/// a linear layer with that weight takes it, images of bytes included. A sparse CSR tensor stays
/// one, for `linear` (models/linear.h). Throws DataError if the rows have another number of
/// features.
torch::Tensor flatten_for(const torch::Tensor& weight, const torch::Tensor& input);

/// Returns outputs of float16 or bfloat16, which lose digits in what is computed of them, as
/// float32, and all others as they are.
torch::Tensor at_least_float32(const torch::Tensor& outputs);

/// A size of a model, such as in_features, that is found in the training data if it isn't given.
class ModelSize {
 public:
  /// `value` 0 means that it isn't given. Throws ConfigError if it is neither 0 nor at least
  /// `least`.
  ModelSize(std::string name, int64_t value, int64_t least = 1);

  bool is_known() const { return value_ > 0; }
  /// Whether it was given, so that the training data needn't be looked at.
  bool is_given() const { return is_given_; }
  int64_t value() const { return value_; }
  /// Takes the size that the data have, 0 if they don't tell, unless one was given. If one was
  /// found before, throws DataError unless the data's is the same or, with `may_be_less`, smaller.
  /// Throws ConfigError, which ends in `hint`, if no size is known after all.
  void find(int64_t in_data, std::string_view hint, bool may_be_less = false);
  /// Takes the size from the settings of a module that was saved, if there is none yet.
  void take(const Value& settings);

 private:
  std::string name_;
  int64_t value_;
  int64_t least_;
  bool is_given_;
};

/// The options that all of these models share.
struct SupervisedModelOptions {
  double learning_rate = 1e-3;
  /// The name of an optimizer; it gets `learning_rate`, and defaults for its other settings.
  std::string optimizer = "Adam";
  /// Added to the loss: l1_strength * sum |w| + l2_strength * sum w^2 over the weights, not biases.
  double l1_strength = 0.0;
  double l2_strength = 0.0;
};

/// Describes an option that several models have under the same name and with the same meaning:
/// in_features, num_classes, learning_rate, optimizer, l1_strength, l2_strength, class_weight,
/// metrics, loss (of classes), multi_class or tol.
Field model_option(const std::string& name, FieldPointer value);

/// What models that learn a target have in common, whether it is a class or a value: an optimizer
/// that is chosen by name, penalties, weights of rows, and layers that are made when the training
/// data are known. Derive from Classifier instead if the target is a class.
///
/// Rows may have weights s, the tensor "weight" [rows] of a batch. A step of B rows minimises
///
///     (1 / B) sum_i s_i / m * loss_i + penalty      with m = the mean weight of all training rows
///
/// so that the steps of an epoch minimise scikit-learn's (1 / S) sum_i s_i loss_i + penalty, with S
/// the sum of all weights: a row of weight 2 counts as two rows. Dividing by the batch's own sum of
/// weights instead would give the rows of a batch with small weights too much say. The same holds
/// over ranks and accumulated batches, which are averaged by their rows. m is found by `prepare`
/// for data in memory, and for streams whose data module knows it (HasTrainingSums); other
/// weights are taken as they are (m = 1). Metrics of validation and test
/// don't use weights, as scikit-learn's `score` doesn't unless it is given some.
class SupervisedModel : public Module {
 public:
  /// `options.optimizer` is looked up among `optimizers`; a model made from a configuration gets
  /// those of the registry, so a subclass should pass on what it is given. Throws ConfigError for a
  /// negative learning rate or strength, an unknown optimizer, and an optimizer that has no setting
  /// `learning_rate`.
  explicit SupervisedModel(SupervisedModelOptions options,
                           const OptimizerList& optimizers = shipped_optimizers());

  /// Returns l1_strength * sum |w| + l2_strength * sum w^2, [], with a graph; an undefined tensor
  /// if both strengths are 0.
  torch::Tensor penalty() const;
  /// Returns the parameters w that the penalties sum over: by default all of two or more
  /// dimensions, which leaves out biases.
  virtual std::vector<torch::Tensor> penalised_parameters() const;
  Optimizers configure_optimizers() override;

  /// Finds the mean weight of the rows. Throws DataError for a weight that is negative or not a
  /// number, and if all are 0. A subclass that overrides it calls this first.
  void prepare(const TrainingSet& train) override;
  /// Checks the weights of a batch while it is on the CPU.
  void on_before_batch_transfer(Batch& batch) override;

  double learning_rate() const { return options_.learning_rate; }
  /// Sets the learning rate of the next fit. Throws ConfigError for a negative one.
  void set_learning_rate(double learning_rate);
  /// The strengths of the penalties. If they follow from the number of training rows (the option
  /// C), they are known after `prepare`, and ModuleError is thrown before.
  double l1_strength() const;
  double l2_strength() const;

  // These remember the type, so that layers that `prepare` makes later have it, too.
  using Module::to;
  void to(torch::Device device, torch::Dtype type, bool non_blocking = false) override;
  void to(torch::Dtype type, bool non_blocking = false) override;

 protected:
  /// Logs the loss of a training batch as train_loss and returns it with the penalty added, which
  /// is logged as train_penalty.
  torch::Tensor with_penalty(const torch::Tensor& data_loss, Step& step) const;
  /// Sets the strengths, or says that they aren't known before `prepare`.
  void set_strengths(double l1, double l2);
  void expect_strengths() { strengths_are_known_ = false; }
  /// The weights of the rows [rows], as the batch has them; undefined if it has none.
  static torch::Tensor row_weights(const Batch& batch);
  /// The same for all training rows; undefined if there are none or they aren't in memory.
  static torch::Tensor row_weights(const TrainingSet& train);
  /// The mean of `losses` [rows] by the formula above, [].
  torch::Tensor weighted_mean(const torch::Tensor& losses, const torch::Tensor& weights) const;
  /// m in the formula above.
  double mean_weight() const { return mean_weight_; }
  void set_mean_weight(double mean) { mean_weight_ = mean; }
  /// The type that a layer made now has to have.
  torch::Dtype parameter_type() const { return type_; }
  /// Throws ModuleError, for a model whose sizes weren't given and whose layers aren't made yet.
  [[noreturn]] static void refuse_without_sizes(std::string_view sizes);

 private:
  SupervisedModelOptions options_;
  OptimizerList::Entry optimizer_;
  bool strengths_are_known_ = true;
  double mean_weight_ = 1.0;
  torch::Dtype type_ = at::kFloat;
  mutable std::vector<torch::Tensor> penalised_;
};

}  // namespace levin
