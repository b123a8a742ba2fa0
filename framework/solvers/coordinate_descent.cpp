#include <levin/framework/solvers/coordinate_descent.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <levin/framework/optimizers/checks.h>
#include <levin/framework/solvers/coordinate_model.h>
#include <levin/framework/solvers/proximal_newton.h>

namespace levin {

Fields describe(CoordinateDescentOptions& o) {
  return fields_of<CoordinateDescentOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"max_sweeps", &o.max_sweeps, "the most sweeps over the features in an iteration"},
  });
}

CoordinateDescent::CoordinateDescent(std::vector<torch::Tensor> parameters,
                                     CoordinateDescentOptions options)
    : LinearSolver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter}),
      options_(options) {
  check_option(options_.max_sweeps >= 1, "max_sweeps", options_.max_sweeps, "must be at least 1");
}

namespace {

/// Of rows and weights: beyond that, methods with sums over all rows are faster than sweeps.
constexpr int64_t kMostProducts = int64_t{1} << 26;

/// One iteration; false if no better point was found. `slopes`: see CoordinateModel.
bool descend_by_coordinates(LinearProblem& problem, LinearProblem::Point& point,
                            const LinearProblem::Point* slopes, double tol, int64_t most_sweeps) {
  CoordinateModel model(problem, point, slopes);
  model.minimise(tol, most_sweeps);
  const double promised = model.promised();
  if (!(promised < 0.0)) return false;
  const double rounding =
      8.0 * std::numeric_limits<double>::epsilon() * std::abs(model.objective());
  constexpr int kMostTrials = 40;
  double step = 1.0;
  for (int trial = 0; trial < kMostTrials; ++trial, step *= 0.5) {
    if (model.objective_at(step) > model.objective() + 0.01 * step * promised + rounding) continue;
    point = model.point_at(step);
    return true;
  }
  return false;
}

}  // namespace

bool CoordinateDescent::iterate_on(Objective& objective, LinearProblem& problem) {
  const double products =
      static_cast<double>(problem.rows()) * static_cast<double>(problem.outputs * problem.features);
  const bool is_by_matrix = problem.kind == LinearLoss::Kind::softmax && problem.ranks() == 1 &&
                            objective.l1().defined() && products > kMostProducts;
  if (!is_by_matrix) return LinearSolver::iterate_on(objective, problem);
  constexpr int64_t kMostAtFirst = 256;
  const int64_t most = kMostAtFirst + point_.ne(0.0).sum().item<int64_t>();
  ProximalNewton newton(objective, {point_, gradient_, value_}, most);
  if (std::isfinite(newton.cost()) && newton.improve(options_.tol)) return true;
  return LinearSolver::iterate_on(objective, problem);
}

bool CoordinateDescent::improve(LinearProblem& problem, LinearProblem::Point& point) {
  std::optional<LinearProblem::Point> slopes;
  if (problem.last_outputs.defined()) slopes = problem.loss_slopes(point_, gradient_);
  return descend_by_coordinates(problem, point, slopes ? &*slopes : nullptr, options_.tol,
                                options_.max_sweeps);
}

CoordinateDescentOrQuasiNewton::CoordinateDescentOrQuasiNewton(
    std::vector<torch::Tensor> parameters, SolverOptions options)
    : QuasiNewton(std::move(parameters),
                  {.tol = options.tol, .max_iter = options.max_iter, .shard = options.shard}) {}

bool CoordinateDescentOrQuasiNewton::advance(Objective& objective) {
  std::string reason;
  auto* problem = objective.linear(reason, kMostProducts);
  const bool is_too_large =
      problem != nullptr && problem->ranks() > 1 && objective.size() > problem->most_shared;
  if (problem == nullptr || is_too_large) return QuasiNewton::advance(objective);
  auto point = problem->from_flat(point_);
  return descend_by_coordinates(*problem, point, nullptr, Solver::options().tol,
                                CoordinateDescentOptions{}.max_sweeps) &&
         move_to(objective, problem->to_flat(point), /*must_descend=*/true);
}

}  // namespace levin
