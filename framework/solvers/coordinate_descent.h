#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/linear_solver.h>
#include <levin/framework/solvers/quasi_newton.h>

namespace levin {

/// Options of CoordinateDescent.
struct CoordinateDescentOptions {
  /// See SolverOptions.
  double tol = 1e-4;
  int64_t max_iter = 100;
  /// The most sweeps over the features in an iteration.
  int64_t max_sweeps = 100;
};

Fields describe(CoordinateDescentOptions& options);

/// Cyclic coordinate descent, over one entry of the weight after the other: the fastest solver if
/// an L1 penalty keeps most of them at 0. Each iteration minimises a quadratic model of the loss,
/// with the penalties as they are, and shortens the step by a line search; the model of a squared
/// loss is the loss itself. In YAML: `coordinate-descent`.
///
/// Sweeps over the rows of a softmax take long if there are many: beyond 2^26 rows times weights,
/// an iteration with an L1 penalty is one of ProximalNewton, whose model has the weights that
/// aren't 0 and as many others.
///
/// It takes all penalties, and never penalises the bias. For data that it needs, see LinearSolver.
/// Over ranks, each iteration adds up the matrix of the model's second derivatives (see
/// CoordinateModel), and the iterations are nearly those of one process.
///
/// Friedman, Hastie and Tibshirani, doi:10.18637/jss.v033.i01 (glmnet); Yuan, Ho and Lin, "An
/// improved GLMNET for L1-regularized logistic regression", 2012 (liblinear's -s 6).
class CoordinateDescent final : public LinearSolver {
 public:
  using Options = CoordinateDescentOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit CoordinateDescent(std::vector<torch::Tensor> parameters,
                             CoordinateDescentOptions options = {});
  std::string name() const override { return "coordinate-descent"; }

 protected:
  bool takes_l1() const override { return true; }
  bool descends() const override { return true; }
  bool iterate_on(Objective& objective, LinearProblem& problem) override;
  bool improve(LinearProblem& problem, LinearProblem::Point& point) override;

 private:
  CoordinateDescentOptions options_;
};

/// CoordinateDescent if it is possible, and else QuasiNewton, which for an L1 penalty is OWL-QN: it
/// minimises by coordinates if the loss is linear, all rows are in the memory of the ranks, and
/// their number times that of the weights is at most 2^26; for many more, lbfgs, which computes in
/// float32 and on all threads, is faster. If there are several ranks, there must also be at most
/// 2,048 weights, because their matrix is sent. In YAML: `coordinate-descent-or-lbfgs`. It is what
/// `LogisticRegression` calls `auto` for L1.
class CoordinateDescentOrQuasiNewton final : public QuasiNewton {
 public:
  using Options = SolverOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit CoordinateDescentOrQuasiNewton(std::vector<torch::Tensor> parameters,
                                          SolverOptions options = {});
  std::string name() const override { return "coordinate-descent-or-lbfgs"; }

 protected:
  bool advance(Objective& objective) override;
};

}  // namespace levin
