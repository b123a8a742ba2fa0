#pragma once

#include <string>
#include <vector>

#include <levin/framework/solvers/linear_problem.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// A Solver that looks at single rows or single features. It needs a loss in closed form
/// (`Module::linear_loss`) and training rows in memory, of which each rank takes float64 copies of
/// its own: 8 bytes for each number, or 12 for each number that isn't 0. Everything is computed in
/// float64, on one thread of each rank. After each iteration, a pass over the rows finds the
/// objective and the gradient that are reported and that `tol` is compared with.
class LinearSolver : public Solver {
 protected:
  using Solver::Solver;

  void check(Objective& objective) final;
  bool advance(Objective& objective) final;

  /// Throws ConfigError if the solver can't minimise this problem.
  virtual void check_problem(const LinearProblem& /*problem*/) const {}
  /// Makes one iteration from `point`, which it changes. Returns false if it found no better point.
  virtual bool improve(LinearProblem& problem, LinearProblem::Point& point) = 0;
  /// Goes to the flat point that `improve` has found. Returns false if it's no better point, which
  /// ends the fit. By default, any point is taken, or any with a lower objective if `descends`.
  virtual bool take(Objective& objective, const LinearProblem& problem, torch::Tensor next);
  /// Whether each iteration should lead to a lower objective: if one doesn't, the solver is done.
  virtual bool descends() const { return false; }

 private:
  LinearProblem& problem_of(Objective& objective) const;
};

}  // namespace levin
