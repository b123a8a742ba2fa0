#include <levin/framework/solvers/path_solver.h>

#include <span>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/linear_objective.h>

namespace levin {

PathObjective::PathObjective(RowSource& rows, PathPlan plan,
                             const std::vector<torch::Tensor>& parameters)
    : rows_(rows),
      plan_(std::move(plan)),
      parameters_(parameters),
      total_weight_(sum_of_weights(rows)) {
  set_c(plan_.Cs.front());
}

PathObjective::~PathObjective() = default;

void PathObjective::set_c(double C) {
  own_ = std::make_unique<LinearObjective>(
      rows_, with_strengths_of_c(plan_.loss, C, plan_.path.l1_ratio, total_weight_), parameters_);
  own_->raise_precision();
}

int64_t PathObjective::size() const { return own_->size(); }
torch::Tensor PathObjective::l1() const { return own_->l1(); }
double PathObjective::evaluate(const torch::Tensor& point, const torch::Tensor& gradient) {
  return own_->evaluate(point, gradient);
}
torch::Tensor PathObjective::hessian_product(const torch::Tensor& vector) {
  return own_->hessian_product(vector);
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
  const auto found = regularization_path(rows_, from, std::span(&c, 1), plan_.path).front();
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
