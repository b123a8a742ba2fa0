#include <levin/framework/solvers/conjugate_gradients.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {
namespace {

/// The norms of the step and the search direction, and their product, in the norm of the
/// preconditioner's inverse M. They follow from each other without products with M.
struct StepGeometry {
  double step_squared = 0.0;
  double step_along = 0.0;
  double along_squared = 0.0;

  /// How far one can go along the direction until the step has that norm.
  double to_radius(double radius) const {
    const double room = std::max(0.0, radius * radius - step_squared);
    const double root = std::sqrt(step_along * step_along + along_squared * room);
    return step_along >= 0.0 ? room / (step_along + root) : (root - step_along) / along_squared;
  }
  void go(double length) {
    step_squared += length * (2.0 * step_along + length * along_squared);
    step_along += length * along_squared;
  }
  void turn(double factor, double residual) {
    step_along *= factor;
    along_squared = residual + factor * factor * along_squared;
  }
};

}  // namespace

NewtonStep conjugate_gradients(Objective& objective, const torch::Tensor& gradient,
                               const ConjugateGradientsLimits& limits) {
  const auto preconditioned = [&](const torch::Tensor& vector) {
    return limits.precondition ? objective.precondition(vector) : vector.clone();
  };
  NewtonStep result{.step = at::zeros_like(gradient)};
  auto residual = gradient.neg();
  auto along = preconditioned(residual);
  double size = objective.dot(residual, along);
  const double share = std::min(0.5, std::sqrt(std::max(size, 0.0)));
  StepGeometry geometry{.along_squared = size};
  for (int64_t j = 1; j <= limits.max_products && size > 0.0; ++j) {
    const auto product = objective.hessian_product(along);
    const double curvature = objective.dot(along, product);
    const bool is_flat = !(curvature > 0.0);
    if (is_flat && limits.radius == 0.0 && j > 1) break;
    double length = is_flat ? 1.0 : size / curvature;
    if (limits.radius > 0.0) {
      const double most = geometry.to_radius(limits.radius);
      result.is_at_radius = is_flat || length >= most;
      if (result.is_at_radius) length = most;
    }
    result.step.add_(along, length);
    residual.sub_(product, length);
    geometry.go(length);
    const double before = result.change;
    double products[] = {result.step.dot(residual).item<double>(),
                         result.step.dot(gradient).item<double>()};
    objective.sum_over_parts(products);
    result.change = -0.5 * (products[0] - products[1]);
    if (result.is_at_radius || is_flat) break;
    const double fall = result.change - before;
    if (static_cast<double>(j) * fall >= share * result.change) break;  // both are below 0
    const auto next = preconditioned(residual);
    const double next_size = objective.dot(residual, next);
    const double factor = next_size / size;
    along.mul_(factor).add_(next);
    geometry.turn(factor, next_size);
    size = next_size;
  }
  result.norm = std::sqrt(std::max(0.0, geometry.step_squared));
  return result;
}

}  // namespace levin
