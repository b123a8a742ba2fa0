#include <levin/models/linear_regression.h>

#include <optional>
#include <typeinfo>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/mse_loss.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/models/linear.h>

namespace levin {
namespace {

/// How many values a target of that shape has for each row; 0 if there is no target.
int64_t outputs_in(const std::optional<std::vector<int64_t>>& target_shape) {
  if (!target_shape) return 0;
  if (target_shape->size() <= 1) return target_shape->empty() ? 1 : target_shape->front();
  throw DataError::bad_value("the shape of a row", c10::str(at::IntArrayRef(*target_shape)),
                             "target", "targets must be [rows] or [rows, outputs]");
}

}  // namespace

Fields describe(LinearRegressionOptions& o) {
  return fields_of<LinearRegressionOptions>({
      model_option("in_features", &o.in_features),
      {"out_features", &o.out_features, "values to predict for a row; 0: as the training data"},
      {"bias", &o.bias, "whether each output has a bias"},
      model_option("learning_rate", &o.learning_rate),
      model_option("optimizer", &o.optimizer),
      model_option("l1_strength", &o.l1_strength),
      model_option("l2_strength", &o.l2_strength),
      {"metrics", &o.metrics, "logged for validation and test; see `list metrics`"},
  });
}

LinearRegression::LinearRegression(LinearRegressionOptions options, const OptimizerList& optimizers)
    : SupervisedModel({.learning_rate = options.learning_rate,
                       .optimizer = options.optimizer,
                       .l1_strength = options.l1_strength,
                       .l2_strength = options.l2_strength},
                      optimizers),
      options_(std::move(options)),
      in_features_("in_features", options_.in_features),
      out_features_("out_features", options_.out_features),
      metrics_(options_.metrics, "values") {
  make_layer();
}

/// Makes the layer, unless it is there or its sizes aren't known.
void LinearRegression::make_layer() {
  options_.in_features = in_features_.value();
  options_.out_features = out_features_.value();
  if (linear_ || !in_features_.is_known() || !out_features_.is_known()) return;
  auto options = torch::nn::LinearOptions(in_features_.value(), out_features_.value());
  linear_ = register_module("linear", torch::nn::Linear(options.bias(options_.bias)));
  linear_->to(parameter_type());
}

void LinearRegression::prepare(const TrainingSet& train) {
  SupervisedModel::prepare(train);
  if (!in_features_.is_given()) {
    in_features_.find(train.features().value_or(0), "set in_features to the features of a row");
  }
  if (!out_features_.is_given()) {
    out_features_.find(outputs_in(train.row_shape("target")),
                       "set out_features to the values that are predicted for a row");
  }
  make_layer();
}

void LinearRegression::prepare_like(const Value& settings) {
  in_features_.take(settings);
  out_features_.take(settings);
  make_layer();
}

torch::Tensor LinearRegression::forward(const torch::Tensor& input) {
  if (!linear_) refuse_without_sizes("in_features and out_features");
  return linear(flatten_for(linear_->weight, input), linear_->weight, linear_->bias);
}

/// The targets in the shape and type of the predictions.
torch::Tensor LinearRegression::values_of(const Batch& batch,
                                          const torch::Tensor& predictions) const {
  const auto target = batch.target();
  const bool fits = target.dim() == 2 ? target.sizes() == predictions.sizes()
                                      : target.dim() == 1 && predictions.size(1) == 1 &&
                                            target.size(0) == predictions.size(0);
  if (!fits) {
    throw DataError::bad_value(
        "the shape", c10::str(target.sizes()), "target",
        fmt::format("the model predicts {} for a row, so it must be [{}{}]",
                    counted(predictions.size(1), "value"), predictions.size(0),
                    predictions.size(1) == 1 ? "" : fmt::format(", {}", predictions.size(1))));
  }
  return target.reshape(predictions.sizes()).to(predictions.scalar_type());
}

torch::Tensor LinearRegression::training_step(const Batch& batch, Step& step) {
  const auto predictions = at_least_float32(forward(batch.input()));
  const auto values = values_of(batch, predictions);
  const auto weights = row_weights(batch);
  if (!weights.defined()) return with_penalty(at::mse_loss(predictions, values), step);
  const auto errors = (predictions - values).square().mean(1);
  return with_penalty(weighted_mean(errors, weights), step);
}

void LinearRegression::evaluate(const Batch& batch, Step& step, const std::string& stage) {
  const auto predictions = at_least_float32(forward(batch.input()));
  const auto values = values_of(batch, predictions);
  step.log(stage + "_loss", at::mse_loss(predictions, values), {.prog_bar = true});
  metrics_.log(step, stage == "test", row_weights(batch),
               [&](RegressionMetric& metric, const torch::Tensor& weights) {
                 metric.update(predictions, values, weights);
               });
}

void LinearRegression::validation_step(const Batch& batch, Step& step) {
  evaluate(batch, step, "val");
}

void LinearRegression::test_step(const Batch& batch, Step& step) { evaluate(batch, step, "test"); }

NamedTensors LinearRegression::predict(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const auto values = at_least_float32(forward(batch.input()));
  return {{"value", values.size(1) == 1 ? values.squeeze(1) : values}};
}

std::optional<LinearLoss> LinearRegression::linear_loss() const {
  if (typeid(*this) != typeid(LinearRegression) || !linear_) return {};
  return LinearLoss{.kind = LinearLoss::Kind::squared,
                    .weight = linear_->weight,
                    .bias = linear_->bias,
                    .l1_strength = l1_strength(),
                    .l2_strength = l2_strength(),
                    .mean_weight = mean_weight()};
}

bool LinearRegression::capturable() const { return typeid(*this) == typeid(LinearRegression); }

Value LinearRegression::hyper_parameters() const {
  auto options = options_;
  options.learning_rate = learning_rate();
  return to_value(describe(options));
}

}  // namespace levin
