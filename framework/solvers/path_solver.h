#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/solvers/regularization_path.h>
#include <levin/framework/solvers/solver.h>
#include <levin/framework/solvers/whole_objective.h>

namespace levin {

/// The path that PathSolver follows, and where it writes the optima.
struct PathPlan {
  /// The loss, whose parameters are set to each optimum in turn.
  LinearLoss loss{};
  std::vector<double> Cs{};
  PathOptions path{};
  /// The optima, in the order of `Cs`: [Cs, outputs, features] and [Cs, outputs], float64, and the
  /// objectives there, [Cs]. The biases are undefined if the loss has none.
  torch::Tensor weights{};
  torch::Tensor biases{};
  torch::Tensor objectives{};
};

/// What PathSolver minimises: the objective of all rows, for one C after the other.
class PathObjective final : public WholeObjective {
 public:
  /// Keeps a reference to `rows`.
  PathObjective(RowSource& rows, PathPlan plan, const std::vector<torch::Tensor>& parameters);

  /// Finds the optimum for the C of that number, from `point` on, and writes it to the plan; from
  /// then on, this is the objective with that C.
  torch::Tensor find(int64_t number, const torch::Tensor& point);

 private:
  void set_c(double C);
  torch::Tensor part(const torch::Tensor& point, const torch::Tensor& parameter) const;

  PathPlan plan_;
  double total_weight_;
};

/// Follows a regularisation path: each iteration minimises the loss with another C, from the last
/// optimum on. It is not in the list of solvers, because it needs a PathObjective: see
/// LogisticRegressionPath.
class PathSolver final : public Solver {
 public:
  /// `count`: how many values of C there are. Minimises over `parameters`.
  PathSolver(std::vector<torch::Tensor> parameters, double tol, int64_t count)
      : Solver(std::move(parameters), {.tol = tol, .max_iter = count}), count_(count) {}
  std::string name() const override { return "regularization-path"; }

 protected:
  void check(Objective& objective) override;
  bool takes_l1() const override { return true; }
  bool is_complete() const override { return iterations() >= count_; }
  bool advance(Objective& objective) override;

 private:
  int64_t count_;
};

}  // namespace levin
