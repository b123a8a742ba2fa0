#include <levin/framework/solvers/path_solver.h>

#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/core/error.h>

namespace levin {

PathObjective::PathObjective(RowSource& rows, PathPlan plan,
                             const std::vector<torch::Tensor>& parameters)
    : WholeObjective(rows, parameters),
      plan_(std::move(plan)),
      total_weight_(sum_of_weights(rows)) {
  set_c(plan_.Cs.front());
}

void PathObjective::set_c(double C) {
  set_all_rows(with_strengths_of_c(plan_.loss, C, plan_.path.l1_ratio, total_weight_));
}

/// The entries of the point that belong to a parameter of the loss, in its shape.
torch::Tensor PathObjective::part(const torch::Tensor& point,
                                  const torch::Tensor& parameter) const {
  int64_t at = 0;
  for (const auto& each : parameters_) {
    if (each.is_same(parameter)) break;
    at += each.numel();
  }
  return point.narrow(0, at, parameter.numel()).view(parameter.sizes());
}

torch::Tensor PathObjective::find(int64_t number, const torch::Tensor& point) {
  const double c = plan_.Cs[static_cast<size_t>(number)];
  auto from = plan_.loss;
  from.weight = part(point, plan_.loss.weight);
  if (plan_.loss.bias.defined()) from.bias = part(point, plan_.loss.bias);
  const auto found = find_path_point(rows_, from, c, plan_.path, total_weight_);
  plan_.weights[number].copy_(found.weight);
  plan_.objectives[number].fill_(found.objective);
  auto next = at::empty_like(point);
  part(next, plan_.loss.weight).copy_(found.weight);
  if (found.bias.defined()) {
    plan_.biases[number].copy_(found.bias);
    part(next, plan_.loss.bias).copy_(found.bias);
  }
  set_c(c);
  return next;
}

void PathSolver::check(Objective& objective) {
  Solver::check(objective);
  if (dynamic_cast<PathObjective*>(&objective) != nullptr) return;
  throw ConfigError::conflict("a regularisation path for a module that doesn't plan it",
                              "use LogisticRegressionPath");
}

bool PathSolver::advance(Objective& objective) {
  auto& path = dynamic_cast<PathObjective&>(objective);
  point_ = path.find(iterations(), point_);
  value_ = with_l1(objective, point_, objective.evaluate(point_, gradient_));
  return true;
}

}  // namespace levin
