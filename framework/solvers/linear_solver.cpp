#include <levin/framework/solvers/linear_solver.h>

#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

LinearProblem& LinearSolver::problem_of(Objective& objective) const {
  std::string reason;
  if (auto* problem = objective.linear(reason, std::numeric_limits<int64_t>::max()))
    return *problem;
  throw ConfigError::conflict(
      fmt::format("{} with {}", name(), reason),
      objective.l1().defined() ? "use lbfgs, which needs only sums over all rows"
                               : "use lbfgs, newton-cg or trust-region, which need only sums over "
                                 "all rows");
}

void LinearSolver::check(Objective& objective) {
  Solver::check(objective);
  check_problem(problem_of(objective));
  objective.raise_precision();
}

bool LinearSolver::advance(Objective& objective) {
  auto& problem = problem_of(objective);
  auto point = problem.from_flat(point_);
  return improve(problem, point) && take(objective, problem, problem.to_flat(point));
}

bool LinearSolver::take(Objective& objective, const LinearProblem& /*problem*/,
                        torch::Tensor next) {
  return move_to(objective, std::move(next), descends());
}

}  // namespace levin
