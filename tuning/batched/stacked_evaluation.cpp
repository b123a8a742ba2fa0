#include <levin/tuning/batched/stacked_models.h>

#include <algorithm>
#include <cstddef>
#include <typeinfo>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/run/step.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/linear_regression.h>

// The part of StackedModels that evaluates the models, and the names of their metrics.

namespace levin {
namespace {

/// The setting `metrics` of a model, with names that tell the models apart.
std::vector<NamedSettings> metrics_with_number(const Value& settings, size_t number) {
  std::vector<NamedSettings> chosen;
  Field{"metrics", &chosen, ""}.set(settings.at("metrics"));
  for (auto& [name, given] : chosen) {
    std::string logged = given.contains("as") ? given.at("as").as_string() : std::string();
    if (logged.empty()) {
      Value plain = given;
      plain.as_object().erase("weights");
      logged = known_metrics().make(name, plain)->name();
    }
    given["as"] = fmt::format("{}/{}", logged, number);
  }
  return chosen;
}

}  // namespace

void StackedModels::make_metrics() {
  const Module& first = *models_.front();
  const bool has_values = typeid(first) == typeid(LinearRegression);
  for (size_t k = 0; k < models_.size(); ++k) {
    const auto chosen = metrics_with_number(models_[k]->hyper_parameters(), k);
    if (has_values) {
      regression_metrics_.emplace_back(chosen, "values");
    } else {
      class_metrics_.emplace_back(chosen, "classes");
    }
  }
}

void StackedModels::validation_step(const Batch& batch, Step& step) {
  evaluate(batch, step, /*is_test=*/false);
}

void StackedModels::test_step(const Batch& batch, Step& step) {
  evaluate(batch, step, /*is_test=*/true);
}

void StackedModels::evaluate_by_softmax(Part& part, const SoftmaxStack& softmax) {
  const kernels::DenormalsAreZero scope;
  const auto models = part.layers.models();
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    const auto score = softmax.evaluate(models.at(k - part.first), outputs_, part.logits);
    losses_[k] = score.loss;
    accuracies_[k] = score.share_of_hits;
  }
}

/// Computes the losses and accuracies of a part's models, and their outputs unless the kernels do
/// it.
void StackedModels::evaluate(Part& part, torch::Tensor& outputs) {
  const Seen& seen = seen_by(part);
  if (seen.uses_softmax) return evaluate_by_softmax(part, seen.softmax);
  const auto& targets = seen.targets;
  outputs = part.layers.forward(seen.rows, /*keeps=*/false);
  const auto first = static_cast<std::ptrdiff_t>(part.first);
  const auto losses = stacked_losses(loss_kind_, outputs, targets, nullptr);
  std::copy(losses.begin(), losses.end(), losses_.begin() + first);
  if (loss_kind_ == StackedLoss::squared) return;
  const auto shares = stacked_accuracies(loss_kind_, outputs, targets);
  std::copy(shares.begin(), shares.end(), accuracies_.begin() + first);
}

void StackedModels::evaluate(const Batch& batch, Step& step, bool is_test) {
  stack();
  see(batch, /*may_use_softmax=*/!has_metrics());
  const bool has_classes = loss_kind_ != StackedLoss::squared;
  std::vector<torch::Tensor> outputs(parts_.size());
  accuracies_.resize(models_.size());
  losses_.resize(models_.size());
  share_out(static_cast<int64_t>(parts_.size()), [&](int64_t number) {
    const auto part = static_cast<size_t>(number);
    evaluate(parts_[part], outputs[part]);
  });
  for (size_t k = 0; k < models_.size(); ++k) {
    if (is_stopped_[k]) continue;
    step.log(is_test ? names_[k].test_loss : names_[k].val_loss, losses_[k]);
    if (has_classes) step.log(is_test ? names_[k].test_acc : names_[k].val_acc, accuracies_[k]);
  }
  if (!has_metrics()) return;
  for (size_t part = 0; part < parts_.size(); ++part) {
    log_metrics(parts_[part], outputs[part], step, is_test);
  }
}

/// Whether the models' setting `metrics` asks for something.
bool StackedModels::has_metrics() const {
  return loss_kind_ == StackedLoss::squared ? !regression_metrics_.front().is_empty()
                                            : !class_metrics_.front().is_empty();
}

/// Logs what the models' setting `metrics` asks for.
void StackedModels::log_metrics(const Part& part, const torch::Tensor& outputs, Step& step,
                                bool is_test) {
  const auto& targets = seen_by(part).targets;
  const bool has_values = loss_kind_ == StackedLoss::squared;
  for (size_t k = part.first; k < part.end; ++k) {
    if (is_stopped_[k]) continue;
    const auto own = outputs.select(0, static_cast<int64_t>(k - part.first)).t();
    if (has_values) {
      const auto values = targets.to(own.scalar_type());
      regression_metrics_[k].log(step, is_test, {},
                                 [&](RegressionMetric& metric, const torch::Tensor& weights) {
                                   metric.update(own, values, weights);
                                 });
      continue;
    }
    const auto predictions = ClassPredictions::of_logits(own);
    class_metrics_[k].log(step, is_test, {},
                          [&](ClassMetric& metric, const torch::Tensor& weights) {
                            metric.update(predictions, targets, weights);
                          });
  }
}

void StackedModels::on_validation_epoch_start(Run& /*run*/) {
  for (auto& metrics : class_metrics_) {
    metrics.for_each([names = class_names_in(data_state())](ClassMetric& metric) {
      metric.set_class_names(names);
    });
  }
}

void StackedModels::on_test_epoch_start(Run& run) { on_validation_epoch_start(run); }

std::string metric_of_model(std::string_view name, size_t& number) {
  const size_t begin = name.find('/');
  if (begin == std::string_view::npos) return {};
  size_t end = begin + 1;
  number = 0;
  for (; end < name.size() && name[end] >= '0' && name[end] <= '9'; ++end) {
    number = 10 * number + static_cast<size_t>(name[end] - '0');
  }
  if (end == begin + 1) return {};
  return std::string(name.substr(0, begin)) + std::string(name.substr(end));
}

MetricMap metrics_of_model(const MetricMap& metrics, size_t number) {
  MetricMap own;
  for (const auto& [name, value] : metrics) {
    size_t of = 0;
    const std::string plain = metric_of_model(name, of);
    if (!plain.empty() && of == number) own.emplace(plain, value);
  }
  return own;
}

}  // namespace levin
