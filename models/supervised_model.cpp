#include <levin/models/supervised_model.h>

#include <map>
#include <utility>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/isfinite.h>
#include <c10/util/StringUtil.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The only setting of the optimizer that comes from the model's options.
constexpr const char* kLearningRate = "learning_rate";

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

/// Returns weights as [rows]. Throws DataError for another shape.
torch::Tensor as_weights(torch::Tensor weights) {
  const bool is_column = weights.dim() == 2 && weights.size(1) == 1;
  if (weights.dim() != 1 && !is_column) {
    throw DataError::bad_value("the shape", c10::str(weights.sizes()), "weight",
                               "weights must be [rows] or [rows, 1], one for each row");
  }
  return is_column ? weights.squeeze(1) : weights;
}

/// Throws DataError for a weight that can't be one; `row_of(i)` names the row.
template <class RowOf>
void check_weights(const torch::Tensor& weights, const RowOf& row_of) {
  const auto values = weights.to(at::kDouble).contiguous();
  const auto fine = at::isfinite(values).logical_and(values.ge(0));
  if (fine.all().item<bool>()) return;
  const auto row = fine.logical_not().nonzero()[0].item<int64_t>();
  throw DataError::bad_value("the weight", fmt::format("{}", values[row].item<double>()),
                             fmt::format("weight, row {}", row_of(row)),
                             "weights must be finite and 0 or more");
}

}  // namespace

Field model_option(const std::string& name, FieldPointer value) {
  static const std::map<std::string, const char*> kHelp = {
      {"in_features", "features a row, flattened; 0: as the training data"},
      {"num_classes", "classes, numbered from 0; 0: as the training data"},
      {"learning_rate", "the optimizer's learning rate"},
      {"optimizer", "name of an optimizer, which gets learning_rate; see `list optimizers`"},
      {"l1_strength", "adds l1_strength * sum |W| to the loss"},
      {"l2_strength", "adds l2_strength * sum W^2 to the loss"},
      {"class_weight", "balanced, or a weight for each class"},
      {"metrics",
       "logged for validation and test, such as auroc or {name: fbeta, beta: 2}; see `list "
       "metrics`"},
      {"loss", "logistic (two classes, one logit), softmax, or auto"},
      {"multi_class",
       "of more than two classes: multinomial (a softmax), or ovr (each against the rest)"},
      {"tol", "the solver ends if no entry of the gradient is larger"}};
  return {name, value, kHelp.at(name)};
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

torch::Tensor at_least_float32(const torch::Tensor& outputs) {
  const bool is_half = c10::elementSize(outputs.scalar_type()) < sizeof(float);
  return is_half ? outputs.to(at::kFloat) : outputs;
}

ModelSize::ModelSize(std::string name, int64_t value, int64_t least)
    : name_(std::move(name)), value_(value), least_(least), is_given_(value != 0) {
  if (value == 0 || value >= least) return;
  throw ConfigError::invalid_value(
      name_, std::to_string(value),
      fmt::format("must be at least {}, or 0 to take it from the training data", least));
}

void ModelSize::find(int64_t in_data, std::string_view hint, bool may_be_less) {
  if (is_given_) return;
  if (in_data > 0 && in_data < least_) {
    throw DataError(fmt::format("the training data have {} = {}, but it must be at least {}; {}",
                                name_, in_data, least_, hint));
  }
  if (value_ == 0) {
    if (in_data == 0) {
      throw ConfigError::conflict(
          fmt::format("{} is neither given nor known from the training data", name_), hint);
    }
    value_ = in_data;
  }
  if (in_data == 0 || in_data == value_ || (may_be_less && in_data < value_)) return;
  throw DataError(fmt::format(
      "the training data have {0} = {1}, but the model has {0} = {2}, which it took from the data "
      "that it was trained on before. Make a new model for these data",
      name_, in_data, value_));
}

void ModelSize::take(const Value& settings) {
  if (is_known() || !settings.is_object() || !settings.contains(name_)) return;
  if (const Value& saved = settings.at(name_); saved.is_int() && saved.as_int() >= least_) {
    value_ = saved.as_int();
  }
}

SupervisedModel::SupervisedModel(SupervisedModelOptions options, const OptimizerList& optimizers)
    : options_(std::move(options)), optimizer_(optimizers.at(options_.optimizer)) {
  require_not_negative("learning_rate", options_.learning_rate);
  require_not_negative("l1_strength", options_.l1_strength);
  require_not_negative("l2_strength", options_.l2_strength);
  require_learning_rate(optimizer_);
}

std::vector<torch::Tensor> SupervisedModel::penalised_parameters() const {
  std::vector<torch::Tensor> weights;
  for (const auto& parameter : parameters()) {
    if (parameter.dim() >= 2) weights.push_back(parameter);
  }
  return weights;
}

double SupervisedModel::l1_strength() const {
  if (!strengths_are_known_) {
    throw ModuleError::contract(
        "penalty", "the strengths of the penalties follow from the number of training rows",
        "call prepare(TrainingSet(loaders)) before the first step, as the Trainer does");
  }
  return options_.l1_strength;
}

double SupervisedModel::l2_strength() const {
  l1_strength();  // throws if they aren't known
  return options_.l2_strength;
}

void SupervisedModel::set_strengths(double l1, double l2) {
  options_.l1_strength = l1;
  options_.l2_strength = l2;
  strengths_are_known_ = true;
}

torch::Tensor SupervisedModel::penalty() const {
  const double l1 = l1_strength();
  const double l2 = l2_strength();
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

torch::Tensor SupervisedModel::with_penalty(const torch::Tensor& data_loss, Step& step) const {
  step.log("train_loss", data_loss, {.prog_bar = true});
  const auto added = penalty();
  if (!added.defined()) return data_loss;
  step.log("train_penalty", added);
  return data_loss + added;
}

Optimizers SupervisedModel::configure_optimizers() {
  if (is_solver(optimizer_)) return optimizer_.make(Value::Object{}, parameters());
  return optimizer_.make(Value::Object{{kLearningRate, options_.learning_rate}}, parameters());
}

void SupervisedModel::set_learning_rate(double learning_rate) {
  require_not_negative("learning_rate", learning_rate);
  options_.learning_rate = learning_rate;
}

void SupervisedModel::to(torch::Device device, torch::Dtype type, bool non_blocking) {
  type_ = type;
  Module::to(device, type, non_blocking);
}

void SupervisedModel::to(torch::Dtype type, bool non_blocking) {
  type_ = type;
  Module::to(type, non_blocking);
}

torch::Tensor SupervisedModel::row_weights(const Batch& batch) {
  return batch.has("weight") ? as_weights(batch.weight()) : torch::Tensor();
}

torch::Tensor SupervisedModel::row_weights(const TrainingSet& train) {
  auto weights = train.values("weight");
  if (weights.defined()) weights = as_weights(weights);
  return weights;
}

void SupervisedModel::prepare(const TrainingSet& train) {
  mean_weight_ = 1.0;
  if (const auto weights = row_weights(train); weights.defined()) {
    check_weights(weights, [](int64_t i) { return i; });
    mean_weight_ = weights.to(at::kDouble).mean().item<double>();
  } else {
    mean_weight_ = train.mean_weight().value_or(1.0);
  }
  if (mean_weight_ > 0.0) return;
  throw DataError(
      "the weights of all training rows are 0, so there is nothing to train on; give at least one "
      "row a weight above 0, or leave out the tensor \"weight\"");
}

void SupervisedModel::on_before_batch_transfer(Batch& batch) {
  Module::on_before_batch_transfer(batch);  // the weights are checked, but left as they are
  const auto& unchanged = std::as_const(batch);
  if (!unchanged.has("weight") || !unchanged.weight().is_cpu()) return;
  const auto& ids = unchanged.row_ids();
  check_weights(row_weights(unchanged),
                [&ids](int64_t i) { return ids.empty() ? i : ids[static_cast<size_t>(i)]; });
}

torch::Tensor SupervisedModel::weighted_mean(const torch::Tensor& losses,
                                             const torch::Tensor& weights) const {
  return (losses * weights.to(losses.scalar_type())).mean() / mean_weight_;
}

void SupervisedModel::refuse_without_sizes(std::string_view sizes) {
  throw ModuleError::contract(
      "forward", fmt::format("the model has no weights yet, because {} weren't given", sizes),
      "give them, or let fit find them in the training data, or load a checkpoint of a fit");
}

}  // namespace levin
