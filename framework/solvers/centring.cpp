#include <levin/framework/solvers/centring.h>

#include <utility>

#include <ATen/TensorOperators.h>

namespace levin {

Centring::Centring(torch::Tensor means, int64_t outputs, int64_t weight_at, int64_t bias_at)
    : means_(std::move(means)), outputs_(outputs), weight_at_(weight_at), bias_at_(bias_at) {}

torch::Tensor Centring::weight_of(const torch::Tensor& flat) const {
  return flat.narrow(0, weight_at_, outputs_ * means_.numel()).view({outputs_, means_.numel()});
}

torch::Tensor Centring::bias_of(const torch::Tensor& flat) const {
  return flat.narrow(0, bias_at_, outputs_);
}

torch::Tensor Centring::apply(const torch::Tensor& point) const {
  auto result = point.clone();
  bias_of(result).add_(weight_of(point).mv(means_));
  return result;
}

torch::Tensor Centring::undo(const torch::Tensor& point) const {
  auto result = point.clone();
  bias_of(result).sub_(weight_of(point).mv(means_));
  return result;
}

torch::Tensor Centring::gradient(const torch::Tensor& gradient) const {
  auto result = gradient.clone();
  weight_of(result).addr_(bias_of(gradient), means_, /*beta=*/1, /*alpha=*/-1);
  return result;
}

}  // namespace levin
