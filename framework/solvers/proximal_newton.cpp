#include <levin/framework/solvers/proximal_newton.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/quadratic_descent.h>

namespace levin {
namespace {

/// Entries that are 0 are in the model if their gradient is at least this share of the penalty: far
/// more than those that will move, so that the model serves several steps.
constexpr double kNear = 0.9;

}  // namespace

ProximalNewton::ProximalNewton(Objective& objective, SolverPoint at, int64_t most_zeros)
    : objective_(objective), at_(at), l1_(objective.l1()) {
  const auto is_zero = at_.point.eq(0.0);
  const auto near = is_zero.logical_and(at_.gradient.abs().ge(kNear * l1_)).nonzero().flatten();
  const int64_t taken = std::min(most_zeros, near.numel());
  const auto order = at_.gradient.index_select(0, near).abs().argsort(/*stable=*/true, 0, true);
  const auto largest = near.index_select(0, order.narrow(0, 0, taken));
  entries_ = std::get<0>(at::cat({is_zero.logical_not().nonzero().flatten(), largest}).sort());
}

double ProximalNewton::cost() const { return objective_.hessian_cost(entries_.numel()); }

torch::Tensor ProximalNewton::subgradient() const {
  return least_subgradient(at_.point, at_.gradient, l1_);
}

bool ProximalNewton::improve(double tol) {
  if (entries_.numel() == 0) return false;
  auto hessian = objective_.hessian_of(entries_);
  // Directions without curvature, such as that of all biases of a softmax, get a little.
  hessian.diagonal().mul_(1.0 + 1e-10);
  constexpr int kMostSteps = 10;
  double before = objective_.largest(subgradient());
  bool is_better = false;
  for (int i = 0; i < kMostSteps; ++i) {
    if (!step(hessian, std::max(0.3 * tol, 1e-3 * before))) break;
    is_better = true;
    const auto now = subgradient();
    const double largest = objective_.largest(now);
    const bool is_in_model = objective_.largest(now.index_select(0, entries_)) >= largest;
    if (largest <= tol || largest > 0.5 * before || !is_in_model) break;
    before = largest;
  }
  return is_better;
}

/// Takes one step by the model with that matrix.
bool ProximalNewton::step(const torch::Tensor& hessian, double tolerance) {
  constexpr int64_t kMostSweeps = 200;
  constexpr int kMostTrials = 40;
  auto own = at_.point.index_select(0, entries_);
  auto slope = at_.gradient.index_select(0, entries_);
  minimise_quadratic(hessian, l1_.index_select(0, entries_), own, slope, tolerance, kMostSweeps);
  const auto target = at_.point.index_copy(0, entries_, own);
  const auto direction = target - at_.point;
  const double promised = at_.gradient.dot(direction).item<double>() +
                          l1_.dot(target.abs() - at_.point.abs()).item<double>();
  if (!(promised < 0.0)) return false;
  const double noise = objective_.noise() * std::abs(at_.value);
  const double before = objective_.largest(subgradient());
  auto gradient = at::empty_like(at_.gradient);
  double share = 1.0;
  for (int trial = 0; trial < kMostTrials; ++trial, share *= 0.5) {
    auto point = trial == 0 ? target : at::add(at_.point, direction, share);
    const double value = objective_.evaluate(point, gradient) + objective_.dot(l1_, point.abs());
    const bool falls = value <= at_.value + 0.01 * share * promised;
    const bool is_flatter = value <= at_.value + noise &&
                            objective_.largest(least_subgradient(point, gradient, l1_)) < before;
    if (!falls && !is_flatter) continue;
    at_.point = std::move(point);
    at_.gradient = std::move(gradient);
    at_.value = value;
    return true;
  }
  objective_.evaluate(at_.point, at_.gradient);  // for those who ask for its curvature next
  return false;
}

}  // namespace levin
