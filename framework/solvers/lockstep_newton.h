#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/many_objective.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// Options of LockstepNewton.
struct LockstepNewtonOptions {
  /// See SolverOptions; each regression has converged by itself.
  double tol = 1e-4;
  int64_t max_iter = 100;
};

Fields describe(LockstepNewtonOptions& options);

/// Newton's method for the many regressions of a ManyObjective at once: each has steps, a step
/// length and an end of its own, as if it were the only one, but all share the passes over the
/// rows. A regression that has converged takes no further part. With L1 penalties, it is the
/// proximal Newton method: steps minimise a quadratic model of the loss with the penalties as they
/// are. For up to 2,000 features. In YAML: `lockstep-newton`.
///
/// The objective that is reported is the sum of those of all regressions, and the gradient's norm
/// the largest of theirs.
class LockstepNewton final : public Solver {
 public:
  using Options = LockstepNewtonOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit LockstepNewton(std::vector<torch::Tensor> parameters,
                          LockstepNewtonOptions options = {});
  std::string name() const override { return "lockstep-newton"; }

  /// The objective of each regression, [problems] float64, and the iterations that it took, int64;
  /// undefined before the first iteration.
  const torch::Tensor& objectives() const { return found_.values; }
  const torch::Tensor& iterations_each() const { return counts_; }

 protected:
  bool takes_l1() const override { return true; }
  void check(Objective& objective) override;
  bool advance(Objective& objective) override;
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;

 private:
  ManyObjective::Values search(ManyObjective& objective, ManyObjective::Problems& some,
                               const ManyObjective::Values& start, const torch::Tensor& directions);

  ManyObjective::Values found_;  // of all problems, the values with the L1 penalties
  torch::Tensor counts_;         // [problems] int64
  torch::Tensor is_stuck_each_;  // [problems] bool: no better point was found
};

}  // namespace levin
