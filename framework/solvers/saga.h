#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/linear_solver.h>

namespace levin {

/// Options of SAG and SAGA.
struct StochasticAverageOptions {
  /// See SolverOptions.
  double tol = 1e-4;
  int64_t max_iter = 1000;
  /// Which rows are drawn depends on this number and on the iteration alone.
  int64_t seed = 0;
  /// Whether lbfgs goes on once the iterations have become slow: see LinearSolver.
  bool hand_over = true;
};

Fields describe(StochasticAverageOptions& options);

/// What SAG and SAGA share: steps of constant length along the gradient of a row that is drawn at
/// random, corrected by the average of the gradients that all rows had when they were last drawn.
/// An iteration draws as many rows as there are, each time from all of them. For each row, its last
/// derivatives with respect to the outputs are kept: they start as those at the first point.
///
/// The length of the steps follows from the largest curvature of a row's loss, with the row's
/// weight. If the rows are sparse, a step changes only the entries of the drawn row's features; the
/// others catch up on all steps that they have missed when they are next needed.
///
/// `tol` is compared with the gradient of the objective, for which each iteration takes one more
/// pass over the rows. The objective may rise in an iteration.
///
/// Over ranks, an iteration begins with the same point on all of them and with the gradient of all
/// rows there, from which each rank takes as many steps as all ranks have rows, along gradients of
/// its own rows, corrected so that their average is that gradient. Then the points become their
/// mean, in which each counts by the weights of its rows. A rank's first step is one along the
/// whole gradient; later ones deviate the more from what all rows ask for, the less the ranks' rows
/// are alike. So if an iteration led to a higher objective and to no smaller gradient, the ranks
/// return to the point before it and take half as many steps from then on, and more again after
/// each success. Steps that are few enough always lead to a lower objective.
///
/// De and Goldstein, "Efficient distributed SGD with variance reduction", 2016 (CentralVR-Sync);
/// Shamir, Srebro and Zhang, "Communication-efficient distributed optimization using an approximate
/// Newton-type method", 2014.
class StochasticAverage : public LinearSolver {
 protected:
  StochasticAverage(std::vector<torch::Tensor> parameters, StochasticAverageOptions options);

  bool improve(LinearProblem& problem, LinearProblem::Point& point) override;
  bool take(Objective& objective, const LinearProblem& problem, torch::Tensor next) override;
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;
  void forget() override;
  /// Whether a step goes along the gradient as corrected by the average before it (SAGA) or along
  /// the average after it (SAG).
  virtual bool is_unbiased() const = 0;

 private:
  class Epoch;
  struct Walk;
  void begin(LinearProblem& problem, const LinearProblem::Point& point);
  void set_slopes(LinearProblem& problem, const LinearProblem::Point& point);
  void walk_apart(LinearProblem& problem, LinearProblem::Point& point);

  StochasticAverageOptions options_;
  // Over ranks, these are made anew in each iteration.
  torch::Tensor slopes_;          // [rows, outputs]: the derivatives of each row's weighted loss
  torch::Tensor weight_average_;  // [outputs, features]: their sum, times the features
  torch::Tensor bias_average_;    // [outputs]: their sum
  bool has_overshot_ = false;     // SAG goes on with the steps of SAGA
  // Over ranks only.
  double step_share_ = 1.0;      // a rank takes so many steps, as a share of all ranks' rows
  double least_gradient_ = 0.0;  // the smallest gradient norm so far; 0: there is none
};

/// The stochastic average gradient method with the correction that makes it unbiased, for all
/// penalties. In YAML: `saga`.
///
/// Defazio, Bach and Lacoste-Julien, "SAGA: A fast incremental gradient method with support for
/// non-strongly convex composite objectives", 2014.
class SAGA final : public StochasticAverage {
 public:
  using Options = StochasticAverageOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit SAGA(std::vector<torch::Tensor> parameters, StochasticAverageOptions options = {});
  std::string name() const override { return "saga"; }

 protected:
  bool takes_l1() const override { return true; }
  bool is_unbiased() const override { return true; }
};

/// The stochastic average gradient method, with longer steps than SAGA, for objectives without an
/// L1 penalty. In YAML: `sag`.
///
/// The average that it goes along has many old gradients. If there are many rows, it can lead far
/// beyond the optimum, and back only slowly. So the first iteration takes the steps of SAGA; and if
/// a later one led to a higher objective, SAG returns to the point before it and takes the steps of
/// SAGA from then on.
///
/// Schmidt, Le Roux and Bach, doi:10.1007/s10107-016-1030-6.
class SAG final : public StochasticAverage {
 public:
  using Options = StochasticAverageOptions;
  /// Minimises over `parameters`. Throws ConfigError for options that are out of range.
  explicit SAG(std::vector<torch::Tensor> parameters, StochasticAverageOptions options = {});
  std::string name() const override { return "sag"; }

 protected:
  bool is_unbiased() const override { return false; }
};

}  // namespace levin
