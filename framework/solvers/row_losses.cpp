#include <levin/framework/solvers/row_losses.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The exponentials of many rows are computed together, by vector instructions.
double softmax_rows(const RowOutputs& rows, double* gradient, double* probabilities) {
  const int64_t count = rows.count;
  const int64_t numbers = rows.rows * count;
  for (int64_t at = 0; at < numbers; at += count) {
    const double largest = *std::max_element(rows.outputs + at, rows.outputs + at + count);
    for (int64_t k = at; k < at + count; ++k) gradient[k] = rows.outputs[k] - largest;
  }
  constexpr int64_t kMany = 64;  // for which a call of LibTorch pays
  if (numbers >= kMany) {
    auto powers = at::from_blob(probabilities, {numbers}, at::kDouble);
    at::exp_out(powers, at::from_blob(gradient, {numbers}, at::kDouble));
  } else {
    std::transform(gradient, gradient + numbers, probabilities,
                   [](double z) { return std::exp(z); });
  }
  double loss = 0.0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    double* p = probabilities + i * count;
    double* g = gradient + i * count;
    const auto target = static_cast<int64_t>(rows.targets[i]);
    const double weight = rows.weights[i];
    double sum = 0.0;
    for (int64_t k = 0; k < count; ++k) sum += p[k];
    loss += weight * (std::log(sum) - g[target]);
    const double factor = 1.0 / sum;
    for (int64_t k = 0; k < count; ++k) {
      p[k] *= factor;
      g[k] = weight * p[k];
    }
    g[target] -= weight;
  }
  return loss;
}

double logistic_row(double z, double target, double weight, double& gradient, double& probability) {
  const double e = std::exp(-std::abs(z));
  probability = z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
  gradient = weight * (probability - target);
  return weight * (std::log1p(e) + std::max(z, 0.0) - target * z);
}

double squared_row(const double* z, const double* target, int64_t count, double weight,
                   double* gradient) {
  const double share = weight / static_cast<double>(count);
  double sum = 0.0;
  for (int64_t k = 0; k < count; ++k) {
    const double error = z[k] - target[k];
    gradient[k] = 2.0 * share * error;
    sum += share * error * error;
  }
  return sum;
}

}  // namespace

void require_classes(std::span<const double> counts) {
  const auto classes = counts.first(counts.size() - 1);
  if (counts.back() > 0.0) {
    throw DataError(fmt::format(
        "{:.0f} of the training rows have a target that isn't a class: classes are the numbers "
        "from 0 to {}; check the targets, or set num_classes",
        counts.back(), classes.size() - 1));
  }
  const auto has_rows = [](double count) { return count > 0.0; };
  const auto found = std::count_if(classes.begin(), classes.end(), has_rows);
  if (found == 0) throw DataError("there are no training rows; a solver needs some");
  if (found > 1) return;
  throw DataError(fmt::format(
      "all training rows are of class {}; there must be rows of two classes at least. Check the "
      "target column",
      std::find_if(classes.begin(), classes.end(), has_rows) - classes.begin()));
}

double row_losses(LinearLoss::Kind kind, const RowOutputs& rows, double* gradient,
                  double* curvature) {
  if (kind == LinearLoss::Kind::softmax) return softmax_rows(rows, gradient, curvature);
  double sum = 0.0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t at = i * rows.count;
    const double* z = rows.outputs + at;
    const double weight = rows.weights[i];
    if (kind == LinearLoss::Kind::logistic) {
      sum += logistic_row(*z, rows.targets[i], weight, gradient[at], curvature[at]);
    } else {
      sum += squared_row(z, rows.targets + at, rows.count, weight, gradient + at);
    }
  }
  return sum;
}

void curvature_product(LinearLoss::Kind kind, const double* curvature, const double* weights,
                       int64_t rows, int64_t count, double* v) {
  for (int64_t i = 0; i < rows; ++i) {
    const double* p = curvature + i * count;
    double* row = v + i * count;
    if (kind == LinearLoss::Kind::squared) {
      const double share = 2.0 * weights[i] / static_cast<double>(count);
      for (int64_t k = 0; k < count; ++k) row[k] *= share;
    } else if (kind == LinearLoss::Kind::logistic) {
      *row *= weights[i] * *p * (1.0 - *p);
    } else {
      double mean = 0.0;
      for (int64_t k = 0; k < count; ++k) mean += p[k] * row[k];
      for (int64_t k = 0; k < count; ++k) row[k] = weights[i] * p[k] * (row[k] - mean);
    }
  }
}

void add_curvature(LinearLoss::Kind kind, const torch::Tensor& curvature,
                   const torch::Tensor& weights, const torch::Tensor& sums) {
  if (kind == LinearLoss::Kind::squared) {
    sums.diagonal().add_(weights.sum() * (2.0 / static_cast<double>(sums.size(0))));
    return;
  }
  const auto weighted = curvature * weights.unsqueeze(1);
  sums.diagonal().add_(weighted.sum(0));
  sums.addmm_(weighted.t(), curvature, 1.0, -1.0);
}

void curvature_diagonal(LinearLoss::Kind kind, const double* curvature, const double* weights,
                        int64_t rows, int64_t count, double* diagonal) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t at = i * count; at < (i + 1) * count; ++at) {
      const double p = curvature[at];
      diagonal[at] = kind == LinearLoss::Kind::squared
                         ? 2.0 * weights[i] / static_cast<double>(count)
                         : weights[i] * p * (1.0 - p);
    }
  }
}

}  // namespace levin
