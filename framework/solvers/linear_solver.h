#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/solvers/halving.h>
#include <levin/framework/solvers/linear_problem.h>
#include <levin/framework/solvers/quasi_newton.h>

namespace levin {

/// A Solver that looks at single rows or single features. It needs a loss in closed form
/// (`Module::linear_loss`) and training rows in memory, of which each rank takes float64 copies of
/// its own: 8 bytes for each number, or 12 for each number that isn't 0. Everything is computed in
/// float64, on one thread of each rank. After each iteration, a pass over the rows finds the
/// objective and the gradient that are reported and that `tol` is compared with.
///
/// A solver may hand over to lbfgs, which this class therefore is as well: once 20 iterations
/// haven't halved the gradient's norm, all further iterations are those of QuasiNewton, from the
/// point that was reached. Steps along the gradients of single rows lead near an optimum soon, but
/// may need thousands of iterations to end there. (liblinear's dual coordinate descent hands over
/// to Newton's method in the same way; see also Friedlander and Schmidt, "Hybrid
/// deterministic-stochastic methods for data fitting", doi:10.1137/110830629.)
class LinearSolver : public QuasiNewton {
 public:
  /// Whether lbfgs makes the iterations by now.
  bool has_handed_over() const { return has_handed_over_; }

 protected:
  /// `hands_over`: whether the solver may hand over to lbfgs.
  LinearSolver(std::vector<torch::Tensor> parameters, const SolverOptions& options,
               bool hands_over = false);

  void check(Objective& objective) final;
  bool advance(Objective& objective) final;
  bool takes_l1() const override { return false; }
  bool takes_parts() const final { return false; }
  /// What overrides these two calls them, too.
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;

  /// Throws ConfigError if the solver can't minimise this problem.
  virtual void check_problem(const LinearProblem& /*problem*/) const {}
  /// Makes one iteration: by `improve` and `take`, unless it is overridden.
  virtual bool iterate_on(Objective& objective, LinearProblem& problem);
  /// Makes one iteration from `point`, which it changes. Returns false if it found no better point.
  virtual bool improve(LinearProblem& problem, LinearProblem::Point& point) = 0;
  /// Goes to the flat point that `improve` has found. Returns false if it's no better point, which
  /// ends the fit. By default, any point is taken, or any with a lower objective if `descends`.
  virtual bool take(Objective& objective, const LinearProblem& problem, torch::Tensor next);
  /// Drops what only `improve` needs, after the solver has handed over.
  virtual void forget() {}
  /// Whether each iteration should lead to a lower objective: if one doesn't, the solver is done.
  virtual bool descends() const { return false; }

 private:
  LinearProblem& problem_of(Objective& objective) const;

  bool hands_over_;
  bool has_handed_over_ = false;
  Halving halving_;
};

}  // namespace levin
