#include <levin/tuning/batched/stacked_models.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <typeinfo>
#include <utility>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/training_set.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/run/step.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/tuning/batched/stackable.h>

namespace levin {
namespace {

/// About how many parameters a part of the models has, so that handing it to a thread pays; and the
/// most parts.
constexpr size_t kNumbersOfStack = 20'000;
constexpr size_t kMostStacks = 8;

/// Makes the modules, each from the same state of the random generators.
std::vector<std::shared_ptr<SupervisedModel>> make_models_alike(
    const std::vector<StackedModels::Maker>& makers) {
  std::vector<std::shared_ptr<SupervisedModel>> models;
  std::vector<const Module*> made;
  const StateDict random = random_state().clone();
  for (const auto& make : makers) {
    load_random_state(random);
    const std::shared_ptr<Module> module = make();
    models.push_back(std::dynamic_pointer_cast<SupervisedModel>(module));
    made.push_back(module.get());
    if (models.back() == nullptr) require_stackable(made);  // throws
  }
  require_stackable(made);
  return models;
}

/// The factors [K, 1, 1] of the penalties' gradients; undefined if all are 0.
torch::Tensor factors_of(const std::vector<double>& strengths, const torch::Tensor& like) {
  for (const double strength : strengths) {
    if (strength != 0.0) return at::tensor(strengths, like.options()).view({-1, 1, 1});
  }
  return {};
}

/// sums[k] += numbers[k] * factors[k]
void add_products(const torch::Tensor& numbers, const double* factors, double* sums) {
  const auto on_host = numbers.to(at::kDouble).contiguous();
  for (int64_t k = 0; k < on_host.numel(); ++k) {
    if (factors[k] != 0.0) sums[k] += factors[k] * on_host.const_data_ptr<double>()[k];
  }
}

void add_to_sum(torch::Tensor& sum, const torch::Tensor& gradient) {
  if (sum.defined()) {
    sum.add_(gradient);
  } else {
    sum = gradient;
  }
}

}  // namespace

StackedModels::StackedModels(const std::vector<Maker>& makers, const OptimizerList& optimizers)
    : optimizers_(optimizers), models_(make_models_alike(makers)), is_stopped_(models_.size()) {
  for (size_t k = 0; k < models_.size(); ++k) {
    register_module(std::to_string(k), models_[k]);
    const auto name = [k](const char* metric) { return fmt::format("{}/{}", metric, k); };
    names_.push_back({name("train_loss"), name("train_penalty"), name("val_loss"), name("val_acc"),
                      name("test_loss"), name("test_acc")});
  }
  make_metrics();
}

void StackedModels::prepare(const TrainingSet& train) {
  if (train.row_shape("weight")) {
    throw ConfigError::conflict("models can't be trained together: the rows have weights",
                                "train them one after the other");
  }
  const StateDict random = random_state().clone();
  for (const auto& model : models_) {
    load_random_state(random);
    model->prepare(train);
  }
}

void StackedModels::check_data(const DataLoaders& loaders) const {
  models_.front()->check_data(loaders);
}

void StackedModels::on_before_batch_transfer(Batch& batch) {
  models_.front()->on_before_batch_transfer(batch);
}

/// Finds out which loss the models have, once they have their layers.
void StackedModels::set_loss() {
  const SupervisedModel& first = *models_.front();
  if (typeid(first) == typeid(LinearRegression)) {
    loss_kind_ = StackedLoss::squared;
  } else if (typeid(first) == typeid(MLP)) {
    activation_ = &find_activation(first.hyper_parameters().at("activation").as_string());
  } else if (first.parameters().front().size(0) == 1) {
    loss_kind_ = StackedLoss::logistic;
  }
}

void StackedModels::require_fitting_parameters() const {
  if (parameters_.front().empty()) {
    throw ModuleError::contract("StackedModels", "the models have no weights yet",
                                "let fit find their sizes, or give them");
  }
  const auto& weight = parameters_.front().front();
  const auto type = weight.scalar_type();
  if (weight.is_cpu() && (type == at::kFloat || type == at::kDouble)) return;
  throw ConfigError::conflict(
      fmt::format("models can't be trained together in {} on {}", c10::toString(type),
                  weight.device().str()),
      "set accelerator to cpu and precision to 32-true or 64-true, or train them one after the "
      "other");
}

/// Makes the stacks, unless they are there.
void StackedModels::stack() {
  const auto holds = [this](const Part& part) {
    return part.layers.holds(parameters_[part.first], parameters_[part.end - 1]);
  };
  if (!parts_.empty() && std::all_of(parts_.begin(), parts_.end(), holds)) return;
  parts_.clear();
  parameters_.clear();
  for (const auto& model : models_) parameters_.push_back(model->parameters());
  require_fitting_parameters();
  set_loss();
  int64_t numbers = 0;
  for (const auto& parameter : parameters_.front()) numbers += parameter.numel();
  for (const auto& parameter : parameters_.front()) {
    if (parameter.dim() == 2) outputs_ = parameter.size(0);
  }
  const size_t count = models_.size();
  const size_t wanted = count * static_cast<size_t>(numbers) / kNumbersOfStack;
  const size_t parts = std::clamp<size_t>(wanted, 1, std::min(kMostStacks, count));
  for (size_t part = 0; part < parts; ++part) {
    const size_t first = count * part / parts;
    const size_t end = count * (part + 1) / parts;
    const auto begin = parameters_.begin();
    parts_.push_back({first, end,
                      StackedLayers({begin + static_cast<std::ptrdiff_t>(first),
                                     begin + static_cast<std::ptrdiff_t>(end)},
                                    activation_)});
  }
}

/// The rows of a batch as the stacks take them, [rows, features].
torch::Tensor StackedModels::rows_of(const Batch& batch) {
  stack();
  const auto rows = flatten_for(parameters_.front().front(), batch.input());
  return rows.layout() == at::kStrided ? rows : rows.to_dense();
}

torch::Tensor StackedModels::targets_of(const Batch& batch) const {
  const auto target = batch.target();
  if (loss_kind_ != StackedLoss::squared) {
    return target.reshape({-1}).to(at::kLong).contiguous();
  }
  const int64_t rows = batch.rows();
  const bool fits =
      target.dim() <= 2 && target.size(0) == rows && target.numel() == rows * outputs_;
  if (fits) return target.reshape({rows, outputs_});
  throw DataError::bad_value("the shape", c10::str(target.sizes()), "target",
                             fmt::format("the models predict [{}, {}]", rows, outputs_));
}

/// Adds the penalties of a part's models, and their gradients to those of the weights.
void StackedModels::add_penalties(Part& part) {
  const auto own = [&part](const std::vector<double>& numbers) {
    return std::vector<double>(numbers.begin() + static_cast<std::ptrdiff_t>(part.first),
                               numbers.begin() + static_cast<std::ptrdiff_t>(part.end));
  };
  const auto& weights = part.layers.weights();
  const auto l1 = factors_of(own(l1_strengths_), weights.front());
  const auto l2 = factors_of(own(l2_strengths_), weights.front());
  double* const penalties = penalties_.data() + part.first;
  for (size_t layer = 0; layer < weights.size(); ++layer) {
    const auto& weight = weights[layer];
    const auto& gradient = part.layers.weight_gradients()[layer];
    if (l1.defined()) {
      gradient.addcmul_(weight.sign(), l1);
      add_products(weight.abs().sum({1, 2}), l1_strengths_.data() + part.first, penalties);
    }
    if (l2.defined()) {
      gradient.addcmul_(weight, l2, 2.0);
      add_products(weight.square().sum({1, 2}), l2_strengths_.data() + part.first, penalties);
    }
  }
}

/// Gives the batch to the kernels for softmax regressions, if they can take it.
bool StackedModels::set_softmax_batch(const torch::Tensor& rows, const torch::Tensor& targets) {
  const auto& weights = parts_.front().layers.weights();
  const bool fits = loss_kind_ == StackedLoss::softmax && weights.size() == 1 &&
                    SoftmaxStack::can_take(weights.front(), rows);
  if (fits) softmax_.set_batch(rows, targets);
  return fits;
}

void StackedModels::learn_by_softmax(Part& part) {
  const auto models = part.layers.models();
  const auto gradients = part.layers.gradients_of_models();
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    losses_[k] = softmax_.learn(models.at(k - part.first), gradients.at(k - part.first), outputs_,
                                part.logits);
  }
}

/// Computes the losses and gradients of a part's models.
void StackedModels::learn(Part& part, const torch::Tensor& rows, const torch::Tensor& targets) {
  const at::NoGradGuard no_grad;
  torch::Tensor in_use;  // a gradient that the optimizer may still need
  for (size_t k = part.first; k < part.end && !in_use.defined(); ++k) {
    in_use = parameters_[k].front().grad();
  }
  part.layers.begin_gradients(in_use);
  if (uses_softmax_) {
    learn_by_softmax(part);
    return add_penalties(part);
  }
  torch::Tensor gradient;
  const auto outputs = part.layers.forward(rows, /*keeps=*/true);
  const auto losses = stacked_losses(loss_kind_, outputs, targets, &gradient);
  std::copy(losses.begin(), losses.end(),
            losses_.begin() + static_cast<std::ptrdiff_t>(part.first));
  part.layers.backward(gradient);
  add_penalties(part);
}

torch::Tensor StackedModels::training_step(const Batch& batch, Step& step) {
  if (!input_) {
    const Rows& rows = batch.input_rows();
    input_ = {.shape = rows.row_shape().vec(), .dtype = c10::getDtypeNames(rows.dtype()).first};
  }
  const auto rows = rows_of(batch);
  const auto targets = targets_of(batch);
  losses_.resize(models_.size());
  penalties_.assign(models_.size(), 0.0);
  l1_strengths_.resize(models_.size());
  l2_strengths_.resize(models_.size());
  for (size_t k = 0; k < models_.size(); ++k) {
    l1_strengths_[k] = models_[k]->l1_strength();
    l2_strengths_[k] = models_[k]->l2_strength();
  }
  uses_softmax_ = set_softmax_batch(rows, targets);
  share_out(static_cast<int64_t>(parts_.size()),
            [&](int64_t part) { learn(parts_[static_cast<size_t>(part)], rows, targets); });
  return log_losses(step);
}

/// Logs the losses of the last batch. Returns their mean, as a leaf.
torch::Tensor StackedModels::log_losses(Step& step) {
  double sum = 0.0;
  int64_t finite = 0;
  for (size_t k = 0; k < models_.size(); ++k) {
    if (is_stopped_[k]) continue;
    step.log(names_[k].train_loss, losses_[k]);
    const bool has_penalty = l1_strengths_[k] != 0.0 || l2_strengths_[k] != 0.0;
    if (has_penalty) step.log(names_[k].train_penalty, penalties_[k]);
    if (!std::isfinite(losses_[k] + penalties_[k])) continue;
    sum += losses_[k] + penalties_[k];
    ++finite;
  }
  const double mean = sum / static_cast<double>(std::max<int64_t>(finite, 1));
  const auto options = parameters_.front().front().options().requires_grad(false);
  loss_ = at::scalar_tensor(mean, options).requires_grad_();
  return loss_;
}

void StackedModels::backward(const torch::Tensor& loss) {
  double factor = 1.0;  // of the gradients, if the batch counts less than others
  if (!loss.is_same(loss_)) {
    loss.backward();
    factor = loss_.grad().item<double>();
  }
  const at::NoGradGuard no_grad;
  for (const Part& part : parts_) {
    for (size_t k = part.first; k < part.end; ++k) {
      if (is_stopped_[k]) continue;
      const auto& gradients = part.layers.gradients(k - part.first);
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (factor != 1.0) gradients[i].mul_(factor);
        add_to_sum(parameters_[k][i].mutable_grad(), gradients[i]);
      }
    }
  }
}

void StackedModels::configure_gradient_clipping(Optimizer& optimizer, Step& step) {
  if (max_norm_ == 0.0) return Module::configure_gradient_clipping(optimizer, step);
  for (size_t k = 0; k < models_.size(); ++k) {
    if (!is_stopped_[k]) clip_grad_norm(parameters_[k], max_norm_);
  }
}

Optimizers StackedModels::configure_optimizers() {
  stack();
  const Value settings = models_.front()->hyper_parameters();
  std::vector<Rates> rates;
  for (const auto& model : models_) rates.push_back({.learning_rate = model->learning_rate()});
  const auto& entry = optimizers_.at(settings.at("optimizer").as_string());
  if (is_solver(entry)) {
    throw ConfigError::conflict(
        fmt::format("models can't be trained together by {}", entry.name),
        "train them one after the other; ManyRegressions trains many regressions by a solver");
  }
  Optimizers optimizers(
      entry.make(Value::Object{{"learning_rate", rates.front().learning_rate}}, parameters()));
  divide(*optimizers.entries().front().optimizer, rates);
  return optimizers;
}

void StackedModels::divide(Optimizer& optimizer, const std::vector<Rates>& rates) const {
  if (rates.size() != models_.size() || !optimizer.is_divisible()) {
    throw ConfigError::conflict(
        fmt::format("{} models with {} rates can't be trained together by {}", models_.size(),
                    rates.size(), optimizer.name()),
        "use SGD, Adam, AdamW, RMSprop or Adagrad, or train them one after the other");
  }
  optimizer.set_names(to_named_tensors(named_parameters()));
  std::vector<ParameterRule> rules;
  for (size_t k = 0; k < rates.size(); ++k) {
    rules.push_back({.names = {fmt::format("{}.*", k)},
                     .learning_rate = rates[k].learning_rate,
                     .weight_decay = rates[k].weight_decay});
  }
  optimizer.divide(rules);
}

}  // namespace levin
