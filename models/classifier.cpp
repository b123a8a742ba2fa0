#include <levin/models/classifier.h>

#include <utility>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>

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

/// The only setting of the optimizer that comes from the model's options.
constexpr const char* kLearningRate = "learning_rate";

/// A solver has no learning rate, but a tolerance.
bool is_solver(const OptimizerList::Entry& optimizer) {
  return to_value(optimizer.draft().fields).contains("tol");
}

void require_learning_rate(const OptimizerList::Entry& optimizer) {
  if (is_solver(optimizer)) return;
  if (to_value(optimizer.draft().fields).contains(kLearningRate)) return;
  throw ConfigError::invalid_value(
      "optimizer", optimizer.name,
      fmt::format("the model passes its learning_rate on, but {0} has no such setting. Add "
                  "learning_rate to {0}'s options, or name it in an `optimizer:` section of the "
                  "configuration instead of in the model's settings",
                  optimizer.name));
}

void require_not_negative(std::string_view option, double value) {
  if (!(value >= 0.0)) {
    throw ConfigError::invalid_value(option, fmt::format("{}", value), "must be 0 or more");
  }
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

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets) {
  if (!is_single_logit(logits)) return at::cross_entropy_loss(logits, targets);
  return at::binary_cross_entropy_with_logits(logits.reshape({-1}),
                                              targets.to(logits.scalar_type()));
}

torch::Tensor flatten_for(const torch::Tensor& weight, const torch::Tensor& input) {
  auto rows = input.dim() > 2 ? input.flatten(1) : input.dim() == 1 ? input.unsqueeze(1) : input;
  if (rows.size(1) != weight.size(1)) {
    throw DataError(fmt::format(
        "a row of the input has {0} features, but the model has in_features = {1}; set "
        "in_features = {0}, or give rows of {1} features{2}",
        rows.size(1), weight.size(1),
        input.dim() == 2 ? ". If the rows come from libsvm files, which don't say how many "
                           "features there are, set num_features to that number."
                         : ""));
  }
  return rows.to(weight.scalar_type());
}

Classifier::Classifier(ClassifierOptions options, const OptimizerList& optimizers)
    : options_(std::move(options)), optimizer_(optimizers.at(options_.optimizer)) {
  if (options_.num_classes < 2) {
    throw ConfigError::invalid_value("num_classes", std::to_string(options_.num_classes),
                                     "must be at least 2");
  }
  require_not_negative("learning_rate", options_.learning_rate);
  require_not_negative("l1_strength", options_.l1_strength);
  require_not_negative("l2_strength", options_.l2_strength);
  require_learning_rate(optimizer_);
}

torch::Tensor Classifier::loss(const torch::Tensor& logits, const torch::Tensor& targets) const {
  return cross_entropy(logits, targets);
}

std::vector<torch::Tensor> Classifier::penalised_parameters() const {
  std::vector<torch::Tensor> weights;
  for (const auto& parameter : parameters()) {
    if (parameter.dim() >= 2) weights.push_back(parameter);
  }
  return weights;
}

torch::Tensor Classifier::penalty() const {
  const double l1 = options_.l1_strength;
  const double l2 = options_.l2_strength;
  if (l1 == 0.0 && l2 == 0.0) return {};
  if (penalised_.empty()) penalised_ = penalised_parameters();
  torch::Tensor sum;
  const auto add = [&sum](const torch::Tensor& term) { sum = sum.defined() ? sum + term : term; };
  for (const auto& weight : penalised_) {
    if (l1 != 0.0) add(weight.abs().sum() * l1);
    if (l2 != 0.0) add(weight.square().sum() * l2);
  }
  return sum;
}

torch::Tensor Classifier::batch_loss(const Batch& batch, const torch::Tensor& targets) {
  return loss(forward(batch.input()), targets);
}

torch::Tensor Classifier::training_step(const Batch& batch, Step& step) {
  const auto targets = labels(batch);
  const auto data_loss = batch_loss(batch, targets);
  step.log("train_loss", data_loss, {.prog_bar = true});
  const auto added = penalty();
  if (!added.defined()) return data_loss;
  step.log("train_penalty", added);
  return data_loss + added;
}

void Classifier::validation_step(const Batch& batch, Step& step) {
  evaluate(batch, step, "val_loss", "val_acc");
}

void Classifier::test_step(const Batch& batch, Step& step) {
  evaluate(batch, step, "test_loss", "test_acc");
}

void Classifier::evaluate(const Batch& batch, Step& step, std::string_view loss_name,
                          std::string_view accuracy_name) {
  const auto targets = labels(batch);
  const auto logits = forward(batch.input());
  step.log(loss_name, loss(logits, targets), {.prog_bar = true});
  step.log(accuracy_name, accuracy(logits, targets), {.prog_bar = true});
}

NamedTensors Classifier::predict(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const auto logits = forward(batch.input());
  return {{"class", predicted_classes(logits)}, {"probability", class_probabilities(logits)}};
}

Optimizers Classifier::configure_optimizers() {
  if (is_solver(optimizer_)) return optimizer_.make(Value::Object{}, parameters());
  return optimizer_.make(Value::Object{{kLearningRate, options_.learning_rate}}, parameters());
}

void Classifier::set_learning_rate(double learning_rate) {
  require_not_negative("learning_rate", learning_rate);
  options_.learning_rate = learning_rate;
}

void Classifier::check_data(const DataLoaders& loaders) const {
  for (const auto& loader : loaders) check_dataset(loader.dataset(), num_classes());
}

void Classifier::on_before_batch_transfer(Batch& batch) {
  Module::on_before_batch_transfer(batch);  // the labels are checked, but left as they are
  // Read as const, so that rows that lie in the data set stay there.
  if (batch.has("target") && std::as_const(batch).target().is_cpu()) labels(batch);
}

torch::Tensor Classifier::labels(const Batch& batch) const {
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
