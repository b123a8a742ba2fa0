#include <levin/framework/metrics/regression_metrics.h>

#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/metrics/exact_sums.h>

namespace levin {
namespace {

torch::Tensor as_columns(const torch::Tensor& values, const std::string& who) {
  if (values.dim() == 1) return values.unsqueeze(1).to(at::kDouble);
  if (values.dim() == 2) return values.to(at::kDouble);
  throw DataError::bad_value("the shape", c10::str(values.sizes()), who,
                             "give values [rows] or [rows, outputs]");
}

using DoublePair = std::pair<double, double>;

/// sum w (y - mean)^2 from the sums of w, w y and w y^2; 0 if all y are the same.
double squared_deviations(const DoublePair& weight, const DoublePair& first,
                          const DoublePair& second) {
  const double mean = first.first / weight.first;
  const double mean_error =
      (std::fma(-mean, weight.first, first.first) + first.second - mean * weight.second) /
      weight.first;
  const double product = first.first * mean;
  const double product_error =
      std::fma(first.first, mean, -product) + first.first * mean_error + first.second * mean;
  const double result = (second.first - product) + (second.second - product_error);
  // The pairs have 106 bits, so what is below 2^-100 of a sum can't be told from 0.
  return result > 0x1p-100 * std::abs(second.first) ? result : 0.0;
}

}  // namespace

void RegressionMetric::add(const torch::Tensor& predictions, const torch::Tensor& targets,
                           const torch::Tensor& weights) {
  const auto guess = as_columns(predictions, name());
  const auto truth = as_columns(targets, name());
  if (guess.sizes() != truth.sizes()) {
    throw DataError::bad_value("the shape", c10::str(predictions.sizes()),
                               fmt::format("{}, predictions", name()),
                               fmt::format("the targets are {}; both must have the same shape",
                                           c10::str(targets.sizes())));
  }
  add_values(guess, truth, weights.defined() ? weights.unsqueeze(1) : weights);
}

void ErrorMean::add_values(const torch::Tensor& predictions, const torch::Tensor& targets,
                           const torch::Tensor& weights) {
  const auto errors = of_errors(predictions - targets);
  const int64_t outputs = errors.size(1);
  const auto weight = weights.defined() ? weights : at::ones({errors.size(0), 1}, errors.options());
  add_exactly(sum(0, {outputs + 1, kExactWords}, at::kLong, errors.device()),
              at::cat({weight, weights.defined() ? errors * weight : errors}, 1));
}

std::vector<MetricValue> ErrorMean::compute() const {
  const auto state = sum(0);
  if (!state.defined()) return {};
  const auto sums = rounded_sums(state);
  if (!(sums[0] > 0.0)) return {};
  double total = 0.0;
  for (size_t i = 1; i < sums.size(); ++i) total += sums[i] / sums[0];
  return {{"", total / static_cast<double>(sums.size() - 1)}};
}

torch::Tensor MeanSquaredError::of_errors(const torch::Tensor& errors) const {
  return errors.square();
}

torch::Tensor MeanAbsoluteError::of_errors(const torch::Tensor& errors) const {
  return errors.abs();
}

// The sums are those of w y, of w y^2 and of w error^2, [outputs] each, and that of w; beside them
// the number of rows, whatever they weigh.
void R2Score::add_values(const torch::Tensor& predictions, const torch::Tensor& targets,
                         const torch::Tensor& weights) {
  const int64_t outputs = targets.size(1);
  const auto& sums = sum(0, {3 * outputs + 1, kExactWords}, at::kLong, targets.device());
  sum(1, {}, at::kLong, targets.device()).add_(targets.size(0));
  auto errors = (targets - predictions).square();
  const auto [square, square_rest] = exact_product(targets, targets);
  const auto first_two = sums.narrow(0, 0, 2 * outputs);
  if (!weights.defined()) {
    const auto ones = at::ones({targets.size(0), 1}, targets.options());
    add_exactly(sums, at::cat({targets, square, errors, ones}, 1));
    add_exactly(sums.narrow(0, outputs, outputs), square_rest);
    return;
  }
  const auto [first, first_rest] = exact_product(weights, targets);
  const auto [second, second_rest] = exact_product(weights, square);
  add_exactly(sums, at::cat({first, second, errors * weights, weights}, 1));
  add_exactly(first_two, at::cat({first_rest, second_rest}, 1));
  add_exactly(sums.narrow(0, outputs, outputs), square_rest * weights);
}

std::vector<MetricValue> R2Score::compute() const {
  const auto state = sum(0);
  if (!state.defined()) return {};
  const auto sums = sums_as_pairs(state);
  const size_t outputs = sums.size() / 3;
  const auto& weight = sums.back();
  if (!(weight.first > 0.0)) return {};
  const auto rows = sum(1);
  if (rows.defined() && rows.item<int64_t>() < 2) {
    return {{"", 0.0, "one row alone has no R^2"}};
  }
  double total = 0.0;
  for (size_t i = 0; i < outputs; ++i) {
    const double errors = sums[2 * outputs + i].first;
    const double deviations = squared_deviations(weight, sums[i], sums[outputs + i]);
    if (deviations > 0.0) {
      total += 1.0 - errors / deviations;
    } else if (!(errors != 0.0)) {
      total += 1.0;
    } else if (std::isnan(errors)) {
      total += errors;
    }
  }
  return {{"", total / static_cast<double>(outputs)}};
}

}  // namespace levin
