#include <levin/models/classifier.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

bool is_single_logit(const torch::Tensor& logits) {
  return logits.dim() == 1 || logits.size(1) == 1;
}

/// Returns `target` as [rows] int64 without checking that the labels are classes.
torch::Tensor as_labels(torch::Tensor target) {
  if (!c10::isIntegralType(target.scalar_type(), /*includeBool=*/true)) {
    throw DataError::bad_value("the type", c10::toString(target.scalar_type()), "target",
                               "class labels must be integers (ArrayDataModule converts whole "
                               "numbers if target_type = class)");
  }
  const bool is_column = target.dim() == 2 && target.size(1) == 1;
  if (target.dim() != 1 && !is_column) {
    throw DataError::bad_value("the shape", c10::str(target.sizes()), "target",
                               "class labels must be [rows] or [rows, 1], one for each row");
  }
  if (is_column) target = target.squeeze(1);
  return target.scalar_type() == at::kLong ? target : target.to(at::kLong);
}

/// Throws for the first label outside [0, num_classes); `row_of(i)` names it.
template <class RowOf>
void check_range(const torch::Tensor& labels, int64_t num_classes, const RowOf& row_of) {
  const auto contiguous = labels.contiguous();
  const int64_t* values = contiguous.const_data_ptr<int64_t>();
  const int64_t rows = contiguous.numel();
  bool fine = true;
  for (int64_t i = 0; i < rows; ++i) {
    fine &= static_cast<uint64_t>(values[i]) < static_cast<uint64_t>(num_classes);
  }
  if (fine) return;
  for (int64_t i = 0; i < rows; ++i) {
    if (values[i] >= 0 && values[i] < num_classes) continue;
    throw DataError::bad_value(
        "the label", std::to_string(values[i]), fmt::format("target, row {}", row_of(i)),
        fmt::format("the model has num_classes = {}, so it must be from 0 to {}", num_classes,
                    num_classes - 1));
  }
}

/// The targets of data in memory; undefined if there are none.
torch::Tensor find_target(const Dataset& dataset) {
  const auto* tensors = dynamic_cast<const TensorDataset*>(&dataset);
  if (tensors == nullptr) return {};
  for (const auto& [name, rows] : tensors->entries()) {
    if (name == "target") return rows.is_sparse() ? rows.tensor() : rows.source();
  }
  return {};
}

/// Checks the labels of a data set in memory. Those of other data sets are checked batch by batch.
void check_dataset(const Dataset& dataset, int64_t num_classes) {
  if (const auto* subset = dynamic_cast<const Subset*>(&dataset)) {
    if (const auto target = find_target(subset->parent()); target.defined()) {
      const auto all = as_labels(target).cpu();
      auto rows = subset->rows();
      const auto labels = all.index_select(
          0, at::from_blob(rows.data(), {static_cast<int64_t>(rows.size())}, at::kLong));
      check_range(labels, num_classes, [&](int64_t i) { return rows[static_cast<size_t>(i)]; });
    }
  } else if (const auto target = find_target(dataset); target.defined()) {
    check_range(as_labels(target).cpu(), num_classes, [](int64_t i) { return i; });
  }
}

constexpr const char* kHowManyClasses =
    "set num_classes, of at least 2, and give targets that are classes, numbered from 0";

void check_class_weight(const NumbersOrName& given, int64_t num_classes) {
  if (given.is_name()) {
    if (given.name() == "balanced") return;
    throw ConfigError::unknown_name("class_weight", given.name(), {"balanced"});
  }
  const auto weights = given.numbers();
  for (const double weight : weights) {
    if (weight >= 0.0 && weight <= std::numeric_limits<double>::max()) continue;
    throw ConfigError::invalid_value("class_weight", fmt::format("{}", weight),
                                     "must be finite and 0 or more");
  }
  if (weights.empty() || num_classes == 0 || std::ssize(weights) == num_classes) return;
  throw ConfigError::invalid_value(
      "class_weight", fmt::format("a list of {}", counted(weights.size(), "number")),
      fmt::format("there are {} classes, and each needs a weight", num_classes));
}

}  // namespace

torch::Tensor predicted_classes(const torch::Tensor& logits) {
  if (is_single_logit(logits)) return logits.reshape({-1}).gt(0).to(at::kLong);
  return logits.argmax(1);
}

torch::Tensor class_probabilities(const torch::Tensor& logits) {
  if (!is_single_logit(logits)) return logits.softmax(1);
  const auto z = logits.reshape({-1});
  return at::stack({at::sigmoid(-z), at::sigmoid(z)}, 1);  // 1 - sigmoid(z) would lose digits
}

torch::Tensor accuracy(const torch::Tensor& logits, const torch::Tensor& targets) {
  return predicted_classes(logits).eq(targets.reshape({-1})).to(at::kDouble).mean();
}

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  const auto logits = at_least_float32(outputs);
  if (!is_single_logit(logits)) return at::cross_entropy_loss(logits, targets);
  return at::binary_cross_entropy_with_logits(logits.reshape({-1}),
                                              targets.to(logits.scalar_type()));
}

torch::Tensor row_cross_entropies(const torch::Tensor& outputs, const torch::Tensor& targets) {
  const auto logits = at_least_float32(outputs);
  if (!is_single_logit(logits)) {
    return at::cross_entropy_loss(logits, targets, {}, at::Reduction::None);
  }
  return at::binary_cross_entropy_with_logits(
      logits.reshape({-1}), targets.to(logits.scalar_type()), {}, {}, at::Reduction::None);
}

Classifier::Classifier(ClassifierOptions options, const OptimizerList& optimizers)
    : SupervisedModel({.learning_rate = options.learning_rate,
                       .optimizer = options.optimizer,
                       .l1_strength = options.l1_strength,
                       .l2_strength = options.l2_strength},
                      optimizers),
      num_classes_("num_classes", options.num_classes, 2),
      class_weight_(std::move(options.class_weight)),
      metrics_(options.metrics, "classes") {
  check_class_weight(class_weight_, options.num_classes);
  if (const auto weights = class_weight_.numbers(); !weights.empty()) {
    class_weights_ = at::tensor(weights, at::kDouble);
  }
}

torch::Tensor Classifier::loss(const torch::Tensor& logits, const torch::Tensor& targets) const {
  return cross_entropy(logits, targets);
}

torch::Tensor Classifier::row_losses(const torch::Tensor& logits,
                                     const torch::Tensor& targets) const {
  return row_cross_entropies(logits, targets);
}

void Classifier::prepare(const TrainingSet& train) {
  SupervisedModel::prepare(train);
  if (!num_classes_.is_given()) {
    num_classes_.find(train.num_classes(), kHowManyClasses, /*may_be_less=*/true);
  }
  check_class_weight(class_weight_, num_classes());
  prepare_class_weights(train);
}

void Classifier::prepare_like(const Value& settings) { num_classes_.take(settings); }

/// The weights of the training rows of each class, [num_classes] float64; undefined if nobody knows
/// them.
torch::Tensor Classifier::class_sums(const TrainingSet& train) const {
  const auto target = train.values("target");
  if (!target.defined()) {
    auto known = train.class_sums();
    if (known.empty()) return {};
    known.resize(static_cast<size_t>(num_classes()), 0.0);
    return at::tensor(known, at::kDouble);
  }
  const auto labels = as_labels(target);
  check_range(labels, num_classes(), [](int64_t i) { return i; });
  auto weights = row_weights(train);
  if (weights.defined()) weights = weights.to(at::kDouble);
  return at::bincount(labels, weights, num_classes()).to(at::kDouble);
}

/// Finds the weights of the classes if they are to be balanced, and the mean weight of the rows
/// together with those of their classes.
void Classifier::prepare_class_weights(const TrainingSet& train) {
  const bool is_balanced = class_weight_.is_name();
  if (!is_balanced && !class_weights_.defined()) return;
  const auto sums = class_sums(train);
  if (!sums.defined()) {
    if (!is_balanced) return;
    throw ConfigError::conflict(
        "class_weight = balanced for training data that aren't in memory",
        "the rows of each class would have to be counted first; give the classes' weights as a "
        "list");
  }
  if (is_balanced) class_weights_ = balanced_weights(sums);
  class_weights_there_.reset();
  const int64_t rows = std::max<int64_t>(train.rows().value_or(0), 1);
  const auto of_outputs = class_weights_.view({num_classes(), -1});
  const double mean =
      (sums.unsqueeze(1) * of_outputs).sum(0).mean().item<double>() / static_cast<double>(rows);
  if (mean > 0.0) return set_mean_weight(mean);
  throw DataError(
      "class_weight gives all training rows the weight 0, so there is nothing to train on; raise "
      "the weight of a class that has rows");
}

torch::Tensor Classifier::balanced_weights(const torch::Tensor& sums) const {
  const auto has_rows = sums.gt(0);
  return at::where(has_rows, sums.sum() / (sums * has_rows.sum()), 1.0);
}

bool Classifier::has_weights(const Batch& batch) const {
  return class_weights_.defined() || batch.has("weight");
}

torch::Tensor Classifier::weights_of(const Batch& batch, const torch::Tensor& targets) {
  const auto weights = row_weights(batch);
  if (!class_weights_.defined()) return weights;
  auto& there = class_weights_there_;
  if (!there.defined() || there.device() != targets.device()) {
    there = class_weights_.to(targets.device());
  }
  const auto of_classes = there.index_select(0, targets);
  if (!weights.defined()) return of_classes;
  return of_classes * (of_classes.dim() == 2 ? weights.unsqueeze(1) : weights);
}

torch::Tensor Classifier::training_loss(const torch::Tensor& logits, const Batch& batch) {
  const auto targets = labels(batch);
  if (!has_weights(batch)) return loss(logits, targets);
  return weighted_mean(row_losses(logits, targets), weights_of(batch, targets));
}

torch::Tensor Classifier::batch_loss(const Batch& batch, const torch::Tensor& targets) {
  const auto logits = forward(batch.input());
  if (!has_weights(batch)) return loss(logits, targets);
  return weighted_mean(row_losses(logits, targets), weights_of(batch, targets));
}

torch::Tensor Classifier::training_step(const Batch& batch, Step& step) {
  return with_penalty(batch_loss(batch, labels(batch)), step);
}

void Classifier::validation_step(const Batch& batch, Step& step) {
  evaluate(batch, step, /*is_test=*/false);
}

void Classifier::test_step(const Batch& batch, Step& step) {
  evaluate(batch, step, /*is_test=*/true);
}

void Classifier::evaluate(const Batch& batch, Step& step, bool is_test) {
  const auto targets = labels(batch);
  const auto logits = forward(batch.input());
  step.log(is_test ? "test_loss" : "val_loss", loss(logits, targets), {.prog_bar = true});
  step.log(is_test ? "test_acc" : "val_acc", accuracy(logits, targets), {.prog_bar = true});
  if (metrics_.is_empty()) return;
  const auto predictions = ClassPredictions::of_logits(probability_logits(logits));
  metrics_.log(step, is_test, row_weights(batch),
               [&](ClassMetric& metric, const torch::Tensor& weights) {
                 metric.update(predictions, targets, weights);
               });
}

void Classifier::on_validation_epoch_start(Run& /*run*/) {
  metrics_.for_each([names = class_names_in(data_state())](ClassMetric& metric) {
    metric.set_class_names(names);
  });
}

void Classifier::on_test_epoch_start(Run& run) { Classifier::on_validation_epoch_start(run); }

NamedTensors Classifier::predict(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const auto logits = at_least_float32(forward(batch.input()));
  return {
      {"class", predicted_classes(logits)},
      {"probability", class_probabilities(probability_logits(logits)).to(logits.scalar_type())}};
}

void Classifier::check_data(const DataLoaders& loaders) const {
  if (!num_classes_.is_known()) refuse_without_sizes("num_classes");
  for (const auto& loader : loaders) check_dataset(loader.dataset(), num_classes());
}

void Classifier::on_before_batch_transfer(Batch& batch) {
  SupervisedModel::on_before_batch_transfer(batch);  // the labels are left as they are, too
  // Read as const, so that rows that lie in the data set stay there.
  if (batch.has("target") && std::as_const(batch).target().is_cpu()) labels(batch);
}

torch::Tensor Classifier::labels(const Batch& batch) const {
  if (!num_classes_.is_known()) refuse_without_sizes("num_classes");
  const auto result = as_labels(batch.target());
  if (result.is_cpu()) {
    check_range(result, num_classes(), [&batch](int64_t i) {
      const auto& ids = batch.row_ids();
      return ids.empty() ? i : ids[static_cast<size_t>(i)];
    });
  }
  return result;
}

}  // namespace levin
