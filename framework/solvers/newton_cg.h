#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// Options of NewtonCG and TrustRegionNewton.
struct NewtonOptions {
  /// See SolverOptions.
  double tol = 1e-4;
  int64_t max_iter = 100;
  /// The most Hessian products, each a pass over the rows, of an iteration.
  int64_t max_products = 200;
  /// Whether conjugate gradients use the objective's approximate inverse curvature
  /// (`Objective::precondition`).
  bool precondition = true;
  /// See SolverOptions.
  std::string shard = "rows";
};

Fields describe(NewtonOptions& options);

/// Newton's method, whose steps are found by preconditioned conjugate gradients and shortened by a
/// line search. Each iteration solves for its step only as exactly as is of use: until the
/// quadratic model falls by little more. In YAML: `newton-cg`.
///
/// The end of the inner iterations: Nash and Sofer, doi:10.1016/0167-6377(90)90056-A.
class NewtonCG final : public Solver {
 public:
  using Options = NewtonOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit NewtonCG(std::vector<torch::Tensor> parameters, NewtonOptions options = {});
  std::string name() const override { return "newton-cg"; }

 protected:
  bool advance(Objective& objective) override;
  bool takes_parts() const override { return true; }

 private:
  NewtonOptions options_;
};

/// Newton's method within a trust region: each step minimises the quadratic model, by
/// preconditioned conjugate gradients, within a radius that grows while the model is good. In YAML:
/// `trust-region`. This is what liblinear calls TRON.
///
/// Lin, Weng and Keerthi, "Trust region Newton method for logistic regression", 2008; Steihaug,
/// doi:10.1137/0720042.
class TrustRegionNewton final : public Solver {
 public:
  using Options = NewtonOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit TrustRegionNewton(std::vector<torch::Tensor> parameters, NewtonOptions options = {});
  std::string name() const override { return "trust-region"; }

 protected:
  bool advance(Objective& objective) override;
  bool takes_parts() const override { return true; }
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;
  void restart() override { radius_ = 0.0; }

 private:
  NewtonOptions options_;
  double radius_ = 0.0;  // 0: there was no step yet
};

}  // namespace levin
