#include <levin/framework/solvers/row_losses.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr int64_t kManyNumbers = 64;  // for which a call of LibTorch pays

/// Computes many exponentials together, by vector instructions.
void exponentials(const double* of, int64_t count, double* powers) {
  if (count >= kManyNumbers) {
    auto result = at::from_blob(powers, {count}, at::kDouble);
    at::exp_out(result, at::from_blob(const_cast<double*>(of), {count}, at::kDouble));
  } else {
    std::transform(of, of + count, powers, [](double z) { return std::exp(z); });
  }
}

/// The same for log(1 + e).
void log1ps(const double* of, int64_t count, double* logs) {
  if (count >= kManyNumbers) {
    auto result = at::from_blob(logs, {count}, at::kDouble);
    at::log1p_out(result, at::from_blob(const_cast<double*>(of), {count}, at::kDouble));
  } else {
    std::transform(of, of + count, logs, [](double e) { return std::log1p(e); });
  }
}

double softmax_rows(const RowOutputs& rows, double* gradient, double* probabilities) {
  const int64_t count = rows.count;
  const int64_t numbers = rows.rows * count;
  for (int64_t at = 0; at < numbers; at += count) {
    const double largest = *std::max_element(rows.outputs + at, rows.outputs + at + count);
    for (int64_t k = at; k < at + count; ++k) gradient[k] = rows.outputs[k] - largest;
  }
  exponentials(gradient, numbers, probabilities);
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

/// For one output. Writes the probabilities of class 1 to `probabilities`.
double logistic_rows(const RowOutputs& rows, double* gradient, double* probabilities) {
  for (int64_t i = 0; i < rows.rows; ++i) gradient[i] = -std::abs(rows.outputs[i]);
  exponentials(gradient, rows.rows, probabilities);
  log1ps(probabilities, rows.rows, gradient);
  double loss = 0.0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const double z = rows.outputs[i];
    const double e = probabilities[i];
    const double weight = rows.weights[i];
    loss += weight * (gradient[i] + std::max(z, 0.0) - rows.targets[i] * z);
    probabilities[i] = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
    gradient[i] = weight * (probabilities[i] - rows.targets[i]);
  }
  return loss;
}

/// The curvature is written whole, without the weights of the rows.
double one_vs_rest_rows(const RowOutputs& rows, double* gradient, double* curvature) {
  const int64_t numbers = rows.rows * rows.count;
  for (int64_t at = 0; at < numbers; ++at) gradient[at] = -std::abs(rows.outputs[at]);
  exponentials(gradient, numbers, curvature);
  log1ps(curvature, numbers, gradient);
  double loss = 0.0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const auto target = static_cast<int64_t>(rows.targets[i]);
    const double* factors =
        rows.output_weights != nullptr ? rows.output_weights + target * rows.count : nullptr;
    for (int64_t k = 0; k < rows.count; ++k) {
      const int64_t at = i * rows.count + k;
      const double z = rows.outputs[at];
      const double e = curvature[at];
      const double factor = factors != nullptr ? factors[k] : 1.0;
      const double weight = rows.weights[i] * factor;
      const double y = k == target ? 1.0 : 0.0;
      loss += weight * (gradient[at] + std::max(z, 0.0) - y * z);
      const double p = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
      gradient[at] = weight * (p - y);
      curvature[at] = factor * e / ((1.0 + e) * (1.0 + e));
    }
  }
  return loss;
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

torch::Tensor output_weights_of(const LinearLoss& loss) {
  const auto& weights = loss.class_weight;
  if (!weights.defined() || weights.dim() != 2) return {};
  return weights.to(at::kCPU, at::kDouble).contiguous();
}

torch::Tensor with_class_weights(const LinearLoss& loss, torch::Tensor weights,
                                 const torch::Tensor& targets) {
  const auto& factors = loss.class_weight;
  if (!factors.defined() || factors.dim() != 1) return weights;
  const auto classes = targets.to(at::kCPU, at::kLong);
  return weights * factors.to(at::kCPU, at::kDouble).index_select(0, classes);
}

void remove_idle(const LinearLoss& loss, const torch::Tensor& weight, const torch::Tensor& bias) {
  if (loss.kind != LinearLoss::Kind::softmax) return;
  if (bias.defined()) bias.sub_(bias.mean());
  if (loss.l1_strength > 0.0 || loss.l2_strength > 0.0) return;
  weight.sub_(weight.mean(0));
}

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
  if (kind == LinearLoss::Kind::one_vs_rest) return one_vs_rest_rows(rows, gradient, curvature);
  if (kind == LinearLoss::Kind::logistic) return logistic_rows(rows, gradient, curvature);
  double sum = 0.0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t at = i * rows.count;
    sum += squared_row(rows.outputs + at, rows.targets + at, rows.count, rows.weights[i],
                       gradient + at);
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
    } else if (kind == LinearLoss::Kind::one_vs_rest) {
      for (int64_t k = 0; k < count; ++k) row[k] *= weights[i] * p[k];
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
  if (kind == LinearLoss::Kind::one_vs_rest) return;
  sums.addmm_(weighted.t(), curvature, 1.0, -1.0);
}

void curvature_diagonal(LinearLoss::Kind kind, const double* curvature, const double* weights,
                        int64_t rows, int64_t count, double* diagonal) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t at = i * count; at < (i + 1) * count; ++at) {
      const double p = curvature[at];
      diagonal[at] =
          weights[i] * (kind == LinearLoss::Kind::squared       ? 2.0 / static_cast<double>(count)
                        : kind == LinearLoss::Kind::one_vs_rest ? p
                                                                : p * (1.0 - p));
    }
  }
}

std::optional<double> loss_at_zero(const LinearLoss& loss) {
  const auto outputs = static_cast<double>(loss.weight.size(0));
  switch (loss.kind) {
    case LinearLoss::Kind::squared:
      break;
    case LinearLoss::Kind::logistic:
      return std::log(2.0);
    case LinearLoss::Kind::softmax:
      return std::log(outputs);
    case LinearLoss::Kind::one_vs_rest:
      if (output_weights_of(loss).defined()) break;
      return outputs * std::log(2.0);
  }
  return {};
}

}  // namespace levin
