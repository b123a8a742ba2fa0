#include <levin/framework/metrics/probability_metrics.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/metrics/exact_sums.h>

namespace levin {
namespace {

/// Adds to sums 0 and 1 the weights of rows and their values times their weights.
torch::Tensor with_weight(const torch::Tensor& values, const torch::Tensor& weights) {
  if (!weights.defined()) return at::stack({at::ones_like(values), values}, 1);
  return at::stack({weights, values * weights}, 1);
}

}  // namespace

void RowMean::add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                          const torch::Tensor& weights) {
  add_exactly(sum(0, {2, kExactWords}, at::kLong, targets.device()),
              with_weight(of_rows(predictions, targets), weights));
}

std::vector<MetricValue> RowMean::compute() const {
  const auto state = sum(0);
  if (!state.defined()) return {};
  const auto sums = rounded_sums(state);
  if (!(sums[0] > 0.0)) return {};
  return {{"", sums[1] / sums[0]}};
}

torch::Tensor BrierScore::of_rows(const ClassPredictions& predictions,
                                  const torch::Tensor& targets) const {
  const auto& probabilities = predictions.probabilities();
  if (predictions.num_classes() == 2) {
    return (probabilities.select(1, 1) - targets).square();
  }
  const auto own = probabilities.gather(1, targets.unsqueeze(1)).squeeze(1);
  return probabilities.square().sum(1) - own.square() + (1.0 - own).square();
}

Fields describe(CalibrationErrorOptions& o) {
  return fields_of<CalibrationErrorOptions>({
      {"n_bins", &o.n_bins, "intervals of confidence between 0 and 1"},
      {"norm", &o.norm, "l1: mean error of the intervals, l2: root mean square, or max"},
  });
}

CalibrationError::CalibrationError(CalibrationErrorOptions options) : options_(std::move(options)) {
  name_sum("sums");
  if (options_.n_bins < 1) {
    throw ConfigError::invalid_value("n_bins", std::to_string(options_.n_bins),
                                     "must be at least 1");
  }
  const std::vector<std::string> norms = {"l1", "l2", "max"};
  if (std::find(norms.begin(), norms.end(), options_.norm) == norms.end()) {
    throw ConfigError::unknown_name("norm", options_.norm, norms);
  }
}

Value CalibrationError::settings() const {
  return Value::Object{{"n_bins", options_.n_bins}, {"norm", options_.norm}};
}

void CalibrationError::add_classes(const ClassPredictions& predictions,
                                   const torch::Tensor& targets, const torch::Tensor& weights) {
  const auto& probabilities = predictions.probabilities();
  const bool is_binary = predictions.num_classes() == 2;
  const auto confidence =
      (is_binary ? probabilities.select(1, 1) : probabilities.amax(1)).contiguous();
  const auto right =
      (is_binary ? targets : predictions.classes().eq(targets)).to(probabilities.scalar_type());
  const auto bounds = at::linspace(0.0, 1.0, options_.n_bins + 1, probabilities.options());
  const auto bin = (at::bucketize(confidence, bounds, /*out_int32=*/false, /*right=*/true) - 1)
                       .clamp(0, options_.n_bins);
  const auto weight = weights.defined() ? weights : at::ones_like(confidence);
  const auto& sums = sum(0, {3 * (options_.n_bins + 1), kExactWords}, at::kLong, targets.device());
  add_exactly(sums, at::cat({weight, weight * confidence, weight * right}),
              at::cat({bin * 3, bin * 3 + 1, bin * 3 + 2}));
}

std::vector<MetricValue> CalibrationError::compute() const {
  const auto state = sum(0);
  if (!state.defined()) return {};
  const auto sums = rounded_sums(state);
  double all = 0.0;
  for (size_t i = 0; i < sums.size(); i += 3) all += sums[i];
  if (!(all > 0.0)) return {};
  double error = 0.0;
  for (size_t i = 0; i < sums.size(); i += 3) {
    if (sums[i] == 0.0) continue;
    const double apart = std::abs(sums[i + 2] / sums[i] - sums[i + 1] / sums[i]);
    if (options_.norm == "max") {
      error = std::max(error, apart);
    } else {
      error += (options_.norm == "l1" ? apart : apart * apart) * (sums[i] / all);
    }
  }
  return {{"", options_.norm == "l2" ? std::sqrt(error) : error}};
}

}  // namespace levin
