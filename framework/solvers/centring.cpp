#include <levin/framework/solvers/centring.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/solvers/row_products.h>

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

torch::Tensor mean_row(RowSource& rows, const LinearLoss& loss, bool precise) {
  const int64_t features = loss.weight.size(1);
  auto sums = at::zeros({features + 1}, at::kDouble);  // the last one of weights
  auto* at = sums.mutable_data_ptr<double>();
  const RowProducts::Sums places{at, at + features};
  std::unique_ptr<RowProducts> products;
  rows.pass([&](const Batch& batch) {
    const Rows& x = batch.input_rows();
    auto weights = batch.has("weight") ? batch.weight().to(at::kCPU, at::kDouble).contiguous()
                                       : at::ones({x.size()}, at::kDouble);
    weights = with_class_weights(loss, std::move(weights), batch.target());
    if (!products)
      products = make_row_products(x.narrow(0, std::min<int64_t>(x.size(), 1)), 1, precise);
    const int64_t step = RowProducts::block_rows(x);
    for (int64_t first = 0; first < x.size(); first += step) {
      products->add_gradients(x.narrow(first, std::min(step, x.size() - first)),
                              weights.const_data_ptr<double>() + first, places);
    }
  });
  if (products) products->finish(places);
  rows.sum(sums);
  return sums.narrow(0, 0, features) / sums[features];
}

}  // namespace levin
