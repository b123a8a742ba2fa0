#pragma once

#include <cstdint>
#include <limits>

#include <levin/framework/solvers/objective.h>

namespace levin {

/// A point, with f's gradient and F (see Objective) there.
struct SolverPoint {
  torch::Tensor& point;     // [size] float64
  torch::Tensor& gradient;  // [size] float64
  double& value;
};

/// An iteration of the proximal Newton method, for an objective with an L1 penalty: takes the
/// matrix of second derivatives of the entries that aren't 0, or may soon not be, minimises the
/// quadratic model with the L1 penalty as it is, and goes as far towards its minimum as the
/// objective falls. As long as that halves the subgradient, further steps are taken with the same
/// matrix, which costs far more than they do. Near the optimum, an iteration adds digits where
/// first-order methods take hundreds of passes for each.
///
/// Ends when no entry of the subgradient of least size is above `tol`, if not before. Returns
/// false, and leaves everything as it was, if no better point was found.
///
/// Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions",
/// doi:10.1137/130921428.
class ProximalNewton {
 public:
  /// Keeps a reference to the objective, which was evaluated at the point last, and has an L1
  /// penalty. `most_zeros`: the most entries that are 0 that the matrix has; of more that may move,
  /// it has those of the largest gradients.
  ProximalNewton(Objective& objective, SolverPoint at,
                 int64_t most_zeros = std::numeric_limits<int64_t>::max());

  /// What the matrix costs, in calls of `evaluate`; infinity if it can't be had.
  double cost() const;
  bool improve(double tol);

 private:
  bool step(const torch::Tensor& hessian, double tolerance);
  torch::Tensor subgradient() const;

  Objective& objective_;
  SolverPoint at_;
  torch::Tensor l1_;
  torch::Tensor entries_;  // [count] int64: those that the model is of
};

}  // namespace levin
