#include <levin/framework/solvers/quadratic_descent.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/soft_threshold.h>

namespace levin {
namespace {

class QuadraticDescent {
 public:
  QuadraticDescent(const torch::Tensor& matrix, const torch::Tensor& l1, torch::Tensor& w,
                   torch::Tensor& slope)
      : matrix_(matrix),
        size_(w.numel()),
        h_(matrix.const_data_ptr<double>()),
        l1_(l1.const_data_ptr<double>()),
        w_(w.mutable_data_ptr<double>()),
        slope_(slope.mutable_data_ptr<double>()) {}

  double sweep() {
    double worst = 0.0;
    sign_changes_ = 0;
    for (int64_t j = 0; j < size_; ++j) worst = std::max(worst, update(j));
    return worst;
  }

  bool solve_active(double tolerance);

 private:
  const double* row(int64_t j) const { return h_ + j * size_; }
  double update(int64_t j);
  void move(int64_t j, double now);
  std::vector<double> step_by_factor(const std::vector<double>& rest) const;
  std::vector<double> step_by_products(std::vector<double> rest, double tolerance) const;
  bool take(const std::vector<double>& step);
  std::optional<bool> take_projected(const std::vector<double>& step);

  torch::Tensor matrix_;
  int64_t size_;
  const double* h_;
  const double* l1_;
  double* w_;
  double* slope_;
  int64_t sign_changes_ = 0;     // of variables with an L1 penalty, in the last sweep
  std::vector<int64_t> active_;  // those that aren't 0, or have no penalty, when last solved for
};

/// Minimises over one variable. Returns the size of its subgradient before that.
double QuadraticDescent::update(int64_t j) {
  const double before = w_[j];
  const double l1 = l1_[j];
  const double violation = std::abs(least_slope(slope_[j], before, l1));
  if (violation == 0.0) return 0.0;
  const double curvature = row(j)[j];
  constexpr double kNone = 1e-300;  // the variable has no effect but its penalty
  if (curvature < kNone && l1 == 0.0) return 0.0;
  const double now =
      curvature < kNone ? 0.0 : shrunk(curvature * before - slope_[j], l1) / curvature;
  if (now == before) return violation;
  if (l1 > 0.0 && (now == 0.0 || before == 0.0 || (now > 0.0) != (before > 0.0))) ++sign_changes_;
  move(j, now);
  return violation;
}

void QuadraticDescent::move(int64_t j, double now) {
  const double step = now - w_[j];
  const double* of_variable = row(j);
  for (int64_t i = 0; i < size_; ++i) slope_[i] += step * of_variable[i];
  w_[j] = now;
}

/// Moves the active variables to the minimum over them with these signs, or as far as the signs
/// last: true if that was short of it, so that another one is 0 now and it is worth going on.
///
/// A Cholesky factor finds them exactly. For many, it would take too long to go on for each that
/// becomes 0, so that all that would change their signs become 0 at once, if that is an
/// improvement. There is no factor if the variables depend on each other wholly; conjugate
/// gradients then come as near as they can, once sweeps have found the signs.
bool QuadraticDescent::solve_active(double tolerance) {
  constexpr int64_t kFew = 512;
  active_.clear();
  std::vector<double> rest;  // the negative subgradient
  for (int64_t j = 0; j < size_; ++j) {
    if (w_[j] == 0.0 && l1_[j] > 0.0) continue;
    active_.push_back(j);
    rest.push_back(-slope_[j] - std::copysign(l1_[j], w_[j]));
  }
  if (active_.empty()) return false;
  const auto step = step_by_factor(rest);
  if (!step.empty() && std::ssize(active_) <= kFew) return take(step);
  if (!step.empty()) {
    if (const auto became_zero = take_projected(step)) return *became_zero;
  }
  if (sign_changes_ == 0) take(step_by_products(std::move(rest), tolerance));
  return false;
}

/// The step to the minimum over the active variables; empty if there are several minima.
std::vector<double> QuadraticDescent::step_by_factor(const std::vector<double>& rest) const {
  const auto places = at::tensor(active_, at::kLong);
  const auto own = matrix_.index_select(0, places).index_select(1, places);
  const auto [factor, info] = at::linalg_cholesky_ex(own);
  if (info.item<int>() != 0) return {};
  const auto right = at::tensor(rest, at::kDouble).unsqueeze(1);
  const auto step = at::cholesky_solve(right, factor).contiguous();
  const double* steps = step.const_data_ptr<double>();
  return {steps, steps + step.numel()};
}

/// The same by conjugate gradients, preconditioned by the diagonal, until no entry of what is left
/// of the subgradient is above `tolerance`.
std::vector<double> QuadraticDescent::step_by_products(std::vector<double> rest,
                                                       double tolerance) const {
  const size_t count = active_.size();
  std::vector<double> scale(count);
  std::vector<double> step(count);
  std::vector<double> direction(count);
  std::vector<double> product(count);
  for (size_t f = 0; f < count; ++f) {
    const double curvature = row(active_[f])[active_[f]];
    scale[f] = curvature > 0.0 ? 1.0 / curvature : 0.0;
  }
  double last = 0.0;
  constexpr int kMostIterations = 200;
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    double now = 0.0;
    for (size_t f = 0; f < count; ++f) now += scale[f] * rest[f] * rest[f];
    for (size_t f = 0; f < count; ++f) {
      direction[f] = scale[f] * rest[f] + (iteration > 0 ? now / last * direction[f] : 0.0);
    }
    last = now;
    double curvature = 0.0;
    for (size_t f = 0; f < count; ++f) {
      const double* of_variable = row(active_[f]);
      product[f] = 0.0;
      for (size_t g = 0; g < count; ++g) product[f] += of_variable[active_[g]] * direction[g];
      curvature += direction[f] * product[f];
    }
    if (!(curvature > 0.0)) break;
    const double length = now / curvature;
    double largest = 0.0;
    for (size_t f = 0; f < count; ++f) {
      step[f] += length * direction[f];
      rest[f] -= length * product[f];
      largest = std::max(largest, std::abs(rest[f]));
    }
    if (largest <= tolerance) break;
  }
  return step;
}

/// Takes the step of the active variables or, if some with an L1 penalty would change their sign,
/// as much of it as makes the first of them 0: true then.
bool QuadraticDescent::take(const std::vector<double>& step) {
  double share = 1.0;
  for (size_t f = 0; f < step.size(); ++f) {
    const double now = w_[active_[f]];
    if (l1_[active_[f]] == 0.0 || now * (now + step[f]) > 0.0) continue;
    share = std::min(share, -now / step[f]);
  }
  for (size_t f = 0; f < step.size(); ++f) {
    const double now = w_[active_[f]];
    const bool becomes_zero = l1_[active_[f]] > 0.0 && share < 1.0 && -now / step[f] == share;
    move(active_[f], becomes_zero ? 0.0 : now + share * step[f]);
  }
  return share < 1.0;
}

/// Takes the step of the active variables, of which those that would change their sign become 0, or
/// a part of it. Returns whether any became 0; nothing, if no part of it is an improvement.
std::optional<bool> QuadraticDescent::take_projected(const std::vector<double>& step) {
  constexpr int kMostTrials = 10;
  double share = 1.0;
  for (int trial = 0; trial < kMostTrials; ++trial, share *= 0.5) {
    auto change = at::zeros({size_}, at::kDouble);
    double* changes = change.mutable_data_ptr<double>();
    double gain = 0.0;  // of the penalty, and of the slope's part of the rest
    bool has_zero = false;
    for (size_t f = 0; f < step.size(); ++f) {
      const int64_t j = active_[f];
      double next = w_[j] + share * step[f];
      if (l1_[j] > 0.0 && w_[j] * next <= 0.0) {
        next = 0.0;
        has_zero = true;
      }
      changes[j] = next - w_[j];
      gain += slope_[j] * changes[j] + l1_[j] * (std::abs(next) - std::abs(w_[j]));
    }
    const auto product = matrix_.mv(change);
    if (gain + 0.5 * product.dot(change).item<double>() >= 0.0) continue;
    const double* products = product.const_data_ptr<double>();
    for (int64_t j = 0; j < size_; ++j) {
      slope_[j] += products[j];
      w_[j] = changes[j] == -w_[j] ? 0.0 : w_[j] + changes[j];
    }
    return has_zero;
  }
  return {};
}

}  // namespace

double minimise_quadratic(const torch::Tensor& matrix, const torch::Tensor& l1, torch::Tensor& w,
                          torch::Tensor& slope, double tolerance, int64_t most_sweeps) {
  constexpr int64_t kSweeps = 10;  // before the active variables are solved for at once
  constexpr int64_t kSolves = 20;  // the most in a row, each of which makes a variable 0
  QuadraticDescent descent(matrix, l1, w, slope);
  double worst = 0.0;
  for (int64_t sweep = 1; sweep <= most_sweeps; ++sweep) {
    worst = descent.sweep();
    if (worst <= tolerance) break;
    if (sweep % kSweeps != 0) continue;
    for (int64_t solves = 0; solves < kSolves && descent.solve_active(0.3 * tolerance);) ++solves;
  }
  return worst;
}

}  // namespace levin
