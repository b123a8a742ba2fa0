#include <levin/framework/solvers/newton_cholesky.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/line_search.h>

namespace levin {
namespace {

/// Returns -inverse(hessian + shift * its diagonal) . gradient for the least shift of a few that
/// makes the matrix positive definite; undefined if none does. Without any shift, a direction that
/// has no curvature, such as that of all biases of a softmax, would get a step made of rounding
/// errors.
torch::Tensor newton_direction(const torch::Tensor& hessian, const torch::Tensor& gradient) {
  const auto diagonal = hessian.diagonal().abs();
  const auto scale = diagonal + 1e-6 * diagonal.mean();  // an entry without curvature needs some
  for (const double shift : {1e-9, 1e-8, 1e-7, 1e-5, 1e-3}) {
    auto shifted = hessian.clone();
    shifted.diagonal().add_(scale, shift);
    const auto [factor, info] = at::linalg_cholesky_ex(shifted);
    if (info.item<int>() != 0) continue;
    const auto direction = at::cholesky_solve(gradient.neg().unsqueeze(1), factor).squeeze(1);
    const double slope = direction.dot(gradient).item<double>();
    if (slope < 0.0) return direction;
  }
  return {};
}

}  // namespace

Fields describe(NewtonCholeskyOptions& o) {
  return fields_of<NewtonCholeskyOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
  });
}

NewtonCholesky::NewtonCholesky(std::vector<torch::Tensor> parameters, NewtonCholeskyOptions options)
    : Solver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter}) {
  int64_t size = 0;
  for (const auto& parameter : stepped()) size += parameter.numel();
  constexpr int64_t kMost = 10'000;
  if (size <= kMost) return;
  throw ConfigError::conflict(
      fmt::format("newton-cholesky with {} parameters, whose Hessian would take {:.1f} GB", size,
                  static_cast<double>(size) * static_cast<double>(size) * 8e-9),
      fmt::format("it is for up to {}; use newton-cg or lbfgs", kMost));
}

bool NewtonCholesky::advance(Objective& objective) {
  const auto direction = newton_direction(objective.hessian(), gradient_);
  if (direction.defined()) objective.remove_idle(direction);
  return direction.defined() && move_along(objective, direction, 1.0, point_, gradient_, value_);
}

}  // namespace levin
