#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/halving.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// Options of QuasiNewton.
struct QuasiNewtonOptions {
  /// See SolverOptions.
  double tol = 1e-4;
  int64_t max_iter = 1000;
  /// How many past steps the curvature is estimated from, at least 1.
  int64_t history_size = 10;
  /// Whether the estimate starts from the objective's own approximation of its curvature
  /// (`Objective::precondition`) instead of a multiple of the identity. It makes features of
  /// different scales, and correlated ones, far less of a problem.
  bool precondition = true;
  /// See SolverOptions.
  std::string shard = "rows";
};

Fields describe(QuasiNewtonOptions& options);

/// L-BFGS with a line search by the strong Wolfe conditions, over all training rows; with an L1
/// penalty, OWL-QN, whose steps stay within an orthant and are steps of the variables that
/// `Objective::centring` gives. An iteration takes one or two passes over the rows. In YAML:
/// `lbfgs`. (The optimizer LBFGS is torch::optim's, which runs on batches.)
///
/// OWL-QN's steps can become slow long before it ends. Once they promise to take longer, by the
/// time in which they haven't halved the gradient, than ending by ProximalNewton would, its
/// iterations follow, as long as they halve the gradient.
///
/// Liu and Nocedal, doi:10.1007/BF01589116; Andrew and Gao, "Scalable training of L1-regularized
/// log-linear models", 2007.
class QuasiNewton : public Solver {
 public:
  using Options = QuasiNewtonOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit QuasiNewton(std::vector<torch::Tensor> parameters, QuasiNewtonOptions options = {});
  std::string name() const override { return "lbfgs"; }

 protected:
  bool advance(Objective& objective) override;
  bool takes_l1() const override { return true; }
  bool takes_parts() const override { return true; }
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;
  void restart() override;

 private:
  /// What a step has changed: the point and the gradient of f.
  struct Update {
    torch::Tensor point;
    torch::Tensor gradient;
    std::optional<double> curvature;  // the product of the two; none after a load
  };

  bool try_once(Objective& objective);
  bool search_orthant(Objective& objective);
  bool is_slow(Objective& objective);
  bool end_by_newton(Objective& objective);
  torch::Tensor direction(Objective& objective, const torch::Tensor& gradient);
  void remember(Objective& objective, const torch::Tensor& point, const torch::Tensor& gradient);

  QuasiNewtonOptions options_;
  std::vector<Update> history_;  // the newest last
  Halving halving_;              // with an L1 penalty
  bool is_newton_ = false;       // whether ProximalNewton's iterations are taken
};

}  // namespace levin
