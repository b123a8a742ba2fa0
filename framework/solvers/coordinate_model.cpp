#include <levin/framework/solvers/coordinate_model.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/solvers/soft_threshold.h>

namespace levin {
namespace {

/// [rows, columns] to [columns, rows].
std::vector<double> transposed_numbers(const std::vector<double>& from, int64_t rows,
                                       int64_t columns) {
  std::vector<double> to(from.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < columns; ++k) {
      to[static_cast<size_t>(k * rows + i)] = from[static_cast<size_t>(i * columns + k)];
    }
  }
  return to;
}

}  // namespace

CoordinateModel::CoordinateModel(LinearProblem& problem, const LinearProblem::Point& point,
                                 const LinearProblem::Point* slopes)
    : problem_(problem),
      features_(problem.by_feature()),
      rows_(problem.rows()),
      columns_(problem.features + (problem.has_bias() ? 1 : 0)) {
  if (problem.has_bias()) ones_.assign(static_cast<size_t>(rows_), 1.0);
  for (int64_t j = 0; j < columns_; ++j) {
    for (int64_t k = 0; k < problem.outputs; ++k) all_.push_back({.feature = j, .output = k});
  }
  const auto* weight = point.weight.const_data_ptr<double>();
  const auto* bias = point.bias.const_data_ptr<double>();
  start_.resize(all_.size());
  for (const auto& at : all_) {
    start_[index(at)] =
        is_bias(at.feature) ? bias[at.output] : weight[at.output * problem.features + at.feature];
  }
  now_ = start_;
  set_outputs(/*are_known=*/slopes != nullptr);
  set_loss();
  set_slopes(slopes);
  set_working();
}

Entries CoordinateModel::column(int64_t feature) const {
  if (!is_bias(feature)) return features_.at(feature);
  return {.values = ones_.data(), .indices = nullptr, .count = rows_};
}

void CoordinateModel::set_outputs(bool are_known) {
  if (are_known) {
    const double* last = problem_.last_outputs.const_data_ptr<double>();
    outputs_ = transposed_numbers({last, last + problem_.outputs * rows_}, rows_, problem_.outputs);
    return;
  }
  outputs_.assign(static_cast<size_t>(problem_.outputs * rows_), 0.0);
  for (const auto& at : all_) {
    const double entry = start_[index(at)];
    if (entry == 0.0) continue;
    double* outputs = of_output(outputs_, at.output);
    for_each_entry(column(at.feature), [&](double x, int64_t i) { outputs[i] += entry * x; });
  }
}

/// The objective where the outputs are `outputs`, [outputs, rows], and weight and bias `point`.
double CoordinateModel::objective_of(const std::vector<double>& outputs,
                                     const std::vector<double>& point,
                                     std::vector<double>* residual,
                                     std::vector<double>* share) const {
  const auto by_row = transposed_numbers(outputs, problem_.outputs, rows_);
  std::vector<double> gradient(by_row.size());
  std::vector<double> probability(by_row.size());
  // Added up block by block, so that rounding errors don't hide the last steps among many rows.
  constexpr int64_t kBlock = 1024;
  std::vector<double> losses{0.0};
  const bool has_output_targets = problem_.kind == LinearLoss::Kind::squared;
  for (int64_t first = 0; first < rows_; first += kBlock) {
    const int64_t at = first * problem_.outputs;
    losses[0] += row_losses(
        problem_.kind,
        {.outputs = by_row.data() + at,
         .rows = std::min(kBlock, rows_ - first),
         .count = problem_.outputs,
         .targets = problem_.targets.const_data_ptr<double>() + (has_output_targets ? at : first),
         .weights = problem_.weights.const_data_ptr<double>() + first,
         .output_weights = problem_.output_weights_data()},
        gradient.data() + at, probability.data() + at);
  }
  problem_.sum(losses);
  if (residual != nullptr) *residual = transposed_numbers(gradient, rows_, problem_.outputs);
  if (share != nullptr) *share = transposed_numbers(probability, rows_, problem_.outputs);
  double penalty = 0.0;
  for (const auto& at : all_) {
    const double entry = point[index(at)];
    if (!is_bias(at.feature)) {
      penalty += problem_.l1 * std::abs(entry) + problem_.l2 * entry * entry;
    }
  }
  return losses[0] + penalty;
}

void CoordinateModel::set_loss() {
  objective_ = objective_of(outputs_, start_, &residual_, &share_);
  const auto* weights = problem_.weights.const_data_ptr<double>();
  curvature_.resize(outputs_.size());
  for (int64_t k = 0; k < problem_.outputs; ++k) {
    const double* share = of_output(share_, k);
    double* curvature = of_output(curvature_, k);
    for (int64_t i = 0; i < rows_; ++i) {
      curvature[i] =
          weights[i] * (problem_.kind == LinearLoss::Kind::squared
                            ? 2.0 / static_cast<double>(problem_.outputs)
                        : problem_.kind == LinearLoss::Kind::logistic ? share[i] * (1.0 - share[i])
                                                                      : share[i]);
    }
  }
  change_.assign(outputs_.size(), 0.0);
  if (is_coupled()) mean_change_.assign(static_cast<size_t>(rows_), 0.0);
}

/// The size of the least subgradient with respect to an entry, at the start.
double CoordinateModel::violation_at_start(const Coordinate& at) const {
  const double entry = start_[index(at)];
  return std::abs(least_slope(first_[index(at)] + 2.0 * l2_of(at) * entry, entry, l1_of(at)));
}

/// Sets the loss's derivatives.
void CoordinateModel::set_slopes(const LinearProblem::Point* slopes) {
  first_.resize(all_.size());
  if (slopes != nullptr) {
    const auto* weight = slopes->weight.const_data_ptr<double>();
    const auto* bias = slopes->bias.const_data_ptr<double>();
    for (const auto& at : all_) {
      first_[index(at)] = is_bias(at.feature) ? bias[at.output]
                                              : weight[at.output * problem_.features + at.feature];
    }
    return;
  }
  for (const auto& at : all_) {
    const double* residual = of_output(residual_, at.output);
    first_[index(at)] =
        sum_over(column(at.feature), [&](double v, int64_t i) { return v * residual[i]; });
  }
  problem_.sum(first_);
}

/// Finds the entries that are to move, and their second derivatives, unless these are found later.
void CoordinateModel::set_working() {
  for (const auto& at : all_) {
    const double slope = violation_at_start(at);
    violation_ = std::max(violation_, slope);
    if (start_[index(at)] != 0.0 || slope > 0.0) working_.push_back(at);
  }
  if (is_shared() || is_by_columns()) return;
  second_.resize(all_.size());
  for (const auto& at : working_) {
    const auto x = column(at.feature);
    const double* curvature = of_output(curvature_, at.output);
    const double* share = of_output(share_, at.output);
    const auto coupled = [&](double v, int64_t i) {
      return v * v * curvature[i] * (1.0 - share[i]);
    };
    const auto single = [&](double v, int64_t i) { return v * v * curvature[i]; };
    second_[index(at)] = is_coupled() ? sum_over(x, coupled) : sum_over(x, single);
  }
}

/// What a change of the outputs adds to the derivative of the model's loss.
double CoordinateModel::slope(const Entries& x, int64_t output,
                              const std::vector<double>& all_changes,
                              const std::vector<double>& mean_change) const {
  const double* curvature = of_output(curvature_, output);
  const double* change = of_output(all_changes, output);
  if (!is_coupled()) {
    return sum_over(x, [&](double v, int64_t i) { return v * curvature[i] * change[i]; });
  }
  const double* mean = mean_change.data();
  return sum_over(x, [&](double v, int64_t i) { return v * curvature[i] * (change[i] - mean[i]); });
}

/// The derivative of the model with respect to an entry, without the L1 penalty.
double CoordinateModel::gradient(const Coordinate& at) const {
  const double l2 = l2_of(at);
  return first_[index(at)] + slope(column(at.feature), at.output, change_, mean_change_) +
         2.0 * l2 * now_[index(at)];
}

/// Minimises the model over one entry. Returns the size of its subgradient before that.
double CoordinateModel::update(const Coordinate& at) {
  const auto x = column(at.feature);
  const double l1 = l1_of(at);
  const double l2 = l2_of(at);
  double& now = now_[index(at)];
  const double before = now;
  const double first = gradient(at);
  const double violation = std::abs(least_slope(first, before, l1));
  if (violation == 0.0) return 0.0;
  const double second = second_[index(at)] + 2.0 * l2;
  constexpr double kNone = 1e-300;  // no curvature: the feature is the same in all rows
  if (second < kNone && l1 == 0.0) return 0.0;
  now = second < kNone ? 0.0 : shrunk(second * before - first, l1) / second;
  const double step = now - before;
  if (step == 0.0) return violation;
  if (l1 > 0.0 && (now == 0.0 || before == 0.0 || (now > 0.0) != (before > 0.0))) ++sign_changes_;
  double* change = of_output(change_, at.output);
  if (!is_coupled()) {
    for_each_entry(x, [&](double v, int64_t i) { change[i] += step * v; });
    return violation;
  }
  double* mean = mean_change_.data();
  const double* share = of_output(share_, at.output);
  for_each_entry(x, [&](double v, int64_t i) {
    change[i] += step * v;
    mean[i] += step * v * share[i];
  });
  return violation;
}

double CoordinateModel::sweep(const std::vector<Coordinate>& coordinates) {
  double worst = 0.0;
  sign_changes_ = 0;
  for (const auto& at : coordinates) worst = std::max(worst, update(at));
  return worst;
}

void CoordinateModel::minimise(double tol, int64_t most_sweeps) {
  if (is_by_columns()) {
    minimise_by_columns(tol, most_sweeps);
    return;
  }
  const double share = is_exact() ? 0.0 : std::min(0.1, std::sqrt(violation_));
  const double tolerance = std::max(share * violation_, 0.3 * tol);
  if (is_shared()) {
    minimise_by_matrix(tolerance, most_sweeps);
  } else {
    minimise_by_sweeps(tolerance, most_sweeps);
  }
}

void CoordinateModel::minimise_by_sweeps(double tolerance, int64_t most_sweeps) {
  constexpr int64_t kSweeps = 10;  // before the active entries are solved for at once
  for (int64_t sweeps = 0; sweeps < most_sweeps;) {
    const int64_t end = std::min(sweeps + kSweeps, most_sweeps);
    for (; sweeps < end; ++sweeps) {
      if (sweep(working_) <= tolerance) return;
    }
    std::vector<Coordinate> active;
    for (const auto& at : working_) {
      const bool has_l1 = !is_bias(at.feature) && problem_.l1 > 0.0;
      if (now_[index(at)] != 0.0 || !has_l1) active.push_back(at);
    }
    if (sign_changes_ == 0) solve(active, 0.3 * tolerance);
  }
}

double CoordinateModel::promised() const {
  double sum = 0.0;
  for (const auto& at : all_) {
    const double before = start_[index(at)];
    const double after = now_[index(at)];
    sum += first_[index(at)] * (after - before);
    if (is_bias(at.feature)) continue;
    sum += problem_.l1 * (std::abs(after) - std::abs(before)) +
           2.0 * problem_.l2 * before * (after - before);
  }
  return sum;
}

double CoordinateModel::objective_at(double step) const {
  auto outputs = outputs_;
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i] += step * change_[i];
  auto point = start_;
  for (size_t j = 0; j < point.size(); ++j) point[j] += step * (now_[j] - start_[j]);
  return objective_of(outputs, point, nullptr, nullptr);
}

LinearProblem::Point CoordinateModel::point_at(double step) const {
  auto weight = at::empty({problem_.outputs, problem_.features}, at::kDouble);
  auto bias = at::zeros({problem_.outputs}, at::kDouble);
  auto* weights = weight.mutable_data_ptr<double>();
  for (const auto& at : all_) {
    const size_t j = index(at);
    // At a whole step, entries that became 0 are exactly 0.
    const double entry = step == 1.0 ? now_[j] : start_[j] + step * (now_[j] - start_[j]);
    if (is_bias(at.feature)) {
      bias.mutable_data_ptr<double>()[at.output] = entry;
    } else {
      weights[at.output * problem_.features + at.feature] = entry;
    }
  }
  return {std::move(weight), std::move(bias)};
}

}  // namespace levin
