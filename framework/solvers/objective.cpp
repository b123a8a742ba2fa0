#include <levin/framework/solvers/objective.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {

torch::Tensor Objective::hessian() {
  auto unit = at::zeros({size()}, at::kDouble);
  auto hessian = at::empty({size(), size()}, at::kDouble);
  for (int64_t j = 0; j < size(); ++j) {
    unit.data_ptr<double>()[j] = 1.0;
    hessian[j].copy_(hessian_product(unit));
    unit.data_ptr<double>()[j] = 0.0;
  }
  return hessian;
}

LinearProblem* Objective::linear(std::string& reason, int64_t /*most_products*/) {
  reason = "a loss that isn't known to be linear in the parameters (Module::linear_loss)";
  return nullptr;
}

torch::Tensor Objective::precondition(const torch::Tensor& vector) {
  const auto diagonal = curvature_diagonal();
  return diagonal.defined() ? vector / diagonal.clamp_min(1e-12) : vector.clone();
}

}  // namespace levin
