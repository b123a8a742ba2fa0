#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/linear_solver.h>

namespace levin {

/// Options of DualCoordinateDescent.
struct DualCoordinateDescentOptions {
  /// See SolverOptions.
  double tol = 1e-4;
  int64_t max_iter = 1000;
  /// The order of the rows depends on this number and on the iteration alone.
  int64_t seed = 0;
  /// Whether lbfgs goes on once the iterations have become slow: see LinearSolver.
  bool hand_over = true;
};

Fields describe(DualCoordinateDescentOptions& options);

/// Coordinate descent on the dual of an L2-penalised problem: each row has a dual variable for each
/// output, and the weight is the sum of the rows, times these. An iteration minimises over the
/// variables of one row after another, in random order. It is quick for strong penalties and many
/// features, and slow for weak penalties. In YAML: `dual-coordinate-descent`.
///
/// For the logistic loss of two classes and the squared loss, with an L2 penalty and no other;
/// others are refused. The bias isn't penalised, although the dual has a constraint then: that the
/// variables of each output sum to 0. It is met by the method of multipliers, whose multiplier is
/// the bias. (liblinear's -s 7 penalises the bias instead.)
///
/// Over ranks, each rank minimises over the variables of its own rows, as if all ranks changed the
/// weight as it does; then the changes of all ranks are added up (CoCoA+). Iterations begin beyond
/// the point that the last one led to, in the direction that it took, until that leads back
/// (Nesterov's acceleration with restarts). It takes more iterations than one process needs, about
/// 2 to 4 times as many.
///
/// Ma, Smith, Jaggi et al., "Adding vs. averaging in distributed primal-dual optimization", 2015;
/// O'Donoghue and Candès, doi:10.1007/s10208-013-9150-3;
/// Yu, Huang and Lin, doi:10.1007/s10994-010-5221-8; Shalev-Shwartz and Zhang, "Stochastic dual
/// coordinate ascent methods for regularized loss minimization", 2013.
class DualCoordinateDescent final : public LinearSolver {
 public:
  using Options = DualCoordinateDescentOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit DualCoordinateDescent(std::vector<torch::Tensor> parameters,
                                 DualCoordinateDescentOptions options = {});
  std::string name() const override { return "dual-coordinate-descent"; }
  StateDict own_state() const override;
  void load_own_state(const StateDict& state) override;

 protected:
  void check_problem(const LinearProblem& problem) const override;
  bool improve(LinearProblem& problem, LinearProblem::Point& point) override;
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;
  void forget() override;

 private:
  class Epoch;
  void begin(LinearProblem& problem, const LinearProblem::Point& point);

  DualCoordinateDescentOptions options_;
  // [rows, outputs], of this rank's rows. Squared loss: the dual variables. Logistic loss: the
  // log-odds of the share of its bound that a variable has, which is as exact near 0 as near the
  // bound.
  torch::Tensor dual_;
  torch::Tensor multiplier_;  // [outputs]
  // Over ranks only: `dual_` before the last iteration, and the iterations since a restart.
  torch::Tensor last_dual_;
  int64_t accelerated_ = 0;
  // [outputs]: of the variables of all ranks. Empty: they and the weight have to be added up first.
  std::vector<double> sums_;
};

}  // namespace levin
