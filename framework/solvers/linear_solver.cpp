#include <levin/framework/solvers/linear_solver.h>

#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

LinearSolver::LinearSolver(std::vector<torch::Tensor> parameters, const SolverOptions& options,
                           bool hands_over)
    : QuasiNewton(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter}),
      hands_over_(hands_over) {}

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
  constexpr int64_t kPatience = 20;
  if (hands_over_ && !has_handed_over_ &&
      halving_.wait(gradient_norm(), iterations()) >= kPatience) {
    has_handed_over_ = true;
    forget();
  }
  if (has_handed_over_) return QuasiNewton::advance(objective);
  return iterate_on(objective, problem_of(objective));
}

bool LinearSolver::iterate_on(Objective& objective, LinearProblem& problem) {
  auto point = problem.from_flat(point_);
  return improve(problem, point) && take(objective, problem, problem.to_flat(point));
}

void LinearSolver::save(StateDict& state) const {
  QuasiNewton::save(state);
  if (!hands_over_) return;
  state.values["has_handed_over"] = has_handed_over_;
  halving_.save(state, "");
}

void LinearSolver::load(const StateDict& state) {
  QuasiNewton::load(state);
  if (!state.values.contains("has_handed_over")) return;
  has_handed_over_ = state.values.at("has_handed_over").as_bool();
  halving_.load(state, "");
}

bool LinearSolver::take(Objective& objective, const LinearProblem& /*problem*/,
                        torch::Tensor next) {
  return move_to(objective, std::move(next), descends());
}

}  // namespace levin
