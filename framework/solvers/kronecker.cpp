#include <levin/framework/solvers/kronecker.h>

#include <tuple>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {

Eigenbasis::Eigenbasis(const torch::Tensor& matrix) {
  std::tie(values, vectors) = at::linalg_eigh(matrix);
  values = values.to(at::kDouble).clamp_min_(0.0);
}

KroneckerInverse::KroneckerInverse(const Eigenbasis& left, const Eigenbasis& right, double shift)
    : left_(left.vectors), right_(right.vectors) {
  constexpr double kRoom = 1e-7;
  denominators_ = at::outer(left.values, right.values);
  const double largest = denominators_.max().item<double>();
  denominators_.add_(shift + kRoom * largest + 1e-300);
}

torch::Tensor KroneckerInverse::times(const torch::Tensor& matrix) const {
  const auto type = right_.scalar_type();
  const auto inner = left_.t().mm(matrix).to(type).mm(right_).to(at::kDouble) / denominators_;
  return left_.mm(inner).to(type).mm(right_.t()).to(at::kDouble);
}

}  // namespace levin
