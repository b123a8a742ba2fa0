#include <levin/tuning/batched/stacked_models.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/run/step.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/tuning/batched/multi_seed_datamodule.h>

namespace levin {
namespace {

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

}  // namespace

void StackedModels::check_data(const DataLoaders& loaders) const {
  models_.front()->check_data(loaders);
}

void StackedModels::on_before_batch_transfer(Batch& batch) {
  if (seeds_.empty()) return models_.front()->on_before_batch_transfer(batch);
  // The models look at the rows, but leave them as they are.
  for (Batch& part : parts_by_seed(batch)) models_.front()->on_before_batch_transfer(part);
}

/// The rows of a batch as the stacks take them, [rows, features].
torch::Tensor StackedModels::rows_of(const Batch& batch) const {
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

/// Whether the kernels for softmax regressions can take the rows of a batch.
bool StackedModels::can_use_softmax(const torch::Tensor& rows) const {
  const auto& weights = parts_.front().layers.weights();
  return loss_kind_ == StackedLoss::softmax && weights.size() == 1 &&
         SoftmaxStack::can_take(weights.front(), rows);
}

/// Takes a batch, or its parts if it has one for each seed.
void StackedModels::see(const Batch& batch, bool may_use_softmax) {
  seen_count_ = 1;
  if (seen_.empty()) seen_.resize(1);
  if (seeds_.empty()) return see_rows(batch, may_use_softmax, seen_.front());
  const auto parts = parts_by_seed(batch);
  seen_count_ = parts.size();
  seen_.resize(std::max(seen_.size(), seen_count_));
  share_out(static_cast<int64_t>(seen_count_), [&](int64_t number) {
    const auto part = static_cast<size_t>(number);
    see_rows(parts[part], may_use_softmax, seen_[part]);
  });
}

void StackedModels::see_rows(const Batch& batch, bool may_use_softmax, Seen& seen) const {
  seen.rows = rows_of(batch);
  seen.targets = targets_of(batch);
  seen.uses_softmax = may_use_softmax && can_use_softmax(seen.rows);
  if (seen.uses_softmax) seen.softmax.set_batch(seen.rows, seen.targets);
}

void StackedModels::learn_by_softmax(Part& part, const SoftmaxStack& softmax) {
  const kernels::DenormalsAreZero scope;
  const auto models = part.layers.models();
  const auto gradients = part.layers.gradients_of_models();
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    losses_[k] = softmax.learn(models.at(k - part.first), gradients.at(k - part.first), outputs_,
                               part.logits);
  }
}

/// Computes the losses and gradients of a part's models.
void StackedModels::learn(Part& part) {
  const at::NoGradGuard no_grad;
  const bool adds = !begins_gradients_ && has_own_gradients(part);
  part.layers.begin_gradients(adds ? StackedLayers::Place::beside : StackedLayers::Place::own);
  const Seen& seen = seen_by(part);
  if (seen.uses_softmax) {
    learn_by_softmax(part, seen.softmax);
    return add_penalties(part);
  }
  torch::Tensor gradient;
  const auto outputs = part.layers.forward(seen.rows, /*keeps=*/true);
  const auto losses = stacked_losses(loss_kind_, outputs, seen.targets, &gradient);
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
  stack();
  see(batch, /*may_use_softmax=*/true);
  losses_.resize(models_.size());
  penalties_.assign(models_.size(), 0.0);
  l1_strengths_.resize(models_.size());
  l2_strengths_.resize(models_.size());
  for (size_t k = 0; k < models_.size(); ++k) {
    l1_strengths_[k] = models_[k]->l1_strength();
    l2_strengths_[k] = models_[k]->l2_strength();
  }
  share_out(static_cast<int64_t>(parts_.size()),
            [&](int64_t part) { learn(parts_[static_cast<size_t>(part)]); });
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
  for (Part& part : parts_) {
    if (factor != 1.0) part.layers.scale_gradients(factor);
    if (part.layers.place() == StackedLayers::Place::beside) {
      part.layers.add_gradients();
    } else if (!has_own_gradients(part)) {
      give_gradients(part);
    }
  }
  begins_gradients_ = false;
}

/// Whether the gradients of a part's models are those of its layers, or none of them is trained on.
bool StackedModels::has_own_gradients(const Part& part) const {
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    const auto& gradient = part.layers.own_gradients(k - part.first).front();
    return parameters_[k].front().grad().is_same(gradient);
  }
  return true;
}

/// Makes the gradients of a part's layers those of its models.
void StackedModels::give_gradients(Part& part) {
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    const auto& gradients = part.layers.own_gradients(k - part.first);
    for (size_t i = 0; i < gradients.size(); ++i) {
      parameters_[k][i].mutable_grad() = gradients[i];
    }
  }
}

void StackedModels::stop(size_t number) {
  is_stopped_.at(number) = true;
  if (parameters_.empty()) return;
  for (auto& parameter : parameters_[number]) parameter.mutable_grad().reset();
}

void StackedModels::on_fit_start(Run& /*run*/) { begins_gradients_ = true; }

void StackedModels::optimizer_step(Optimizer& optimizer, const Closure& closure) {
  Module::optimizer_step(optimizer, closure);
  begins_gradients_ = true;
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
  optimizer.keep_gradients();
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
