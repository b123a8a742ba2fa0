#include <levin/framework/solvers/objective.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/column_parts.h>

namespace levin {

void Objective::sum_over_parts(std::span<double> numbers) {
  if (auto* divided = parts()) divided->sum(numbers);
}

double Objective::dot(const torch::Tensor& a, const torch::Tensor& b) {
  double product[] = {a.dot(b).item<double>()};
  sum_over_parts(product);
  return product[0];
}

double Objective::largest(const torch::Tensor& vector) {
  const double own = vector.abs().max().item<double>();
  auto* const divided = parts();
  return divided != nullptr ? divided->largest(own) : own;
}

torch::Tensor Objective::hessian() { return hessian_of(at::arange(size(), at::kLong)); }

torch::Tensor Objective::hessian_of(const torch::Tensor& entries) {
  const int64_t count = entries.numel();
  auto unit = at::zeros({size()}, at::kDouble);
  auto hessian = at::empty({count, count}, at::kDouble);
  for (int64_t j = 0; j < count; ++j) {
    auto entry = unit[entries[j].item<int64_t>()];
    entry.fill_(1.0);
    hessian[j].copy_(hessian_product(unit).index_select(0, entries));
    entry.zero_();
  }
  return hessian;
}

LinearProblem* Objective::linear(std::string& reason, int64_t /*most_products*/) {
  reason = "a loss that isn't known to be linear in the parameters (Module::linear_loss)";
  return nullptr;
}

torch::Tensor Objective::precondition(const torch::Tensor& vector) {
  const auto diagonal = curvature_diagonal();
  const auto result = diagonal.defined() ? vector / diagonal.clamp_min(1e-12) : vector.clone();
  remove_idle(result);  // which a division by different numbers brings in
  return result;
}

torch::Tensor least_subgradient(const torch::Tensor& point, const torch::Tensor& gradient,
                                const torch::Tensor& l1) {
  // At 0, any number in [-l1, l1] may be added; the one that brings the sum closest to 0 counts.
  const auto at_zero = gradient - gradient.clamp(-l1, l1);
  return at::where(point == 0.0, at_zero, gradient + l1 * point.sign());
}

}  // namespace levin
