#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// Options of NewtonCholesky: see SolverOptions.
struct NewtonCholeskyOptions {
  double tol = 1e-4;
  int64_t max_iter = 100;
};

Fields describe(NewtonCholeskyOptions& options);

/// Newton's method by a Cholesky decomposition of the whole Hessian, shortened by a line search:
/// the fastest solver for few parameters and many rows. It takes size^2 numbers of memory, so more
/// than 10,000 parameters are refused. In YAML: `newton-cholesky`.
///
/// The Hessian of a softmax has directions without curvature, so a small share of its diagonal is
/// added to it, a larger one if it can't be decomposed otherwise.
class NewtonCholesky final : public Solver {
 public:
  using Options = NewtonCholeskyOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range and for more
  /// than 10,000 parameters.
  explicit NewtonCholesky(std::vector<torch::Tensor> parameters,
                          NewtonCholeskyOptions options = {});
  std::string name() const override { return "newton-cholesky"; }

 protected:
  bool advance(Objective& objective) override;
};

}  // namespace levin
