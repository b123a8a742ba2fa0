#include <levin/models/sparse_device.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/unique_consecutive.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/sparse.h>
#include <levin/framework/tensor/run_kernel.h>
#include <levin/framework/tensor/twice_differentiable.h>

namespace levin {
namespace {

/// The tensors of sparse rows on a device.
struct DeviceRows {
  torch::Tensor offsets;  // int64
  torch::Tensor indices;  // int32
  torch::Tensor values;   // float32, or undefined if all are 1
  int64_t columns = 0;

  explicit DeviceRows(const Rows& rows)
      : offsets(rows.source()),
        indices(rows.indices()),
        values(rows.values()),
        columns(rows.row_shape()[0]) {}
  explicit DeviceRows(const torch::Tensor& csr)
      : offsets(csr.crow_indices().to(at::kLong).contiguous()),
        indices(csr.col_indices().to(at::kInt).contiguous()),
        values(csr.values().contiguous()),
        columns(csr.size(1)) {}

  int64_t entries() const { return indices.size(0); }
  kernels::SparseView view() const {
    return {.offsets = offsets.const_data_ptr<int64_t>(),
            .indices = indices.const_data_ptr<int32_t>(),
            .values = values.defined() ? values.const_data_ptr<float>() : nullptr,
            .count = offsets.size(0) - 1,
            .row_size = columns};
  }
};

/// Writes sums of the entries to `to` [outputs, width]: that of each entry to the place that
/// `places` names for it. Both lists are in the order of the places.
void sum_in_order(const DeviceRows& rows, const torch::Tensor& derivatives,
                  const torch::Tensor& places, const torch::Tensor& order,
                  const torch::Tensor& to) {
  kernels::cuda::SparseSums sums{.rows = rows.view(),
                                 .entries = rows.entries(),
                                 .derivatives = derivatives.const_data_ptr<float>(),
                                 .outputs = derivatives.size(1),
                                 .places = places.const_data_ptr<int32_t>(),
                                 .order = order.const_data_ptr<int64_t>(),
                                 .sums = to.mutable_data_ptr<float>(),
                                 .width = to.size(1)};
  const auto scratch = at::empty({kernels::cuda::scratch_size(sums)}, to.options());
  sums.scratch = scratch.mutable_data_ptr<float>();
  run_kernel<kernels::cuda::SparseSums>(to.device(), sums, kernels::cuda::sparse_sums,
                                        kernels::cuda::sparse_sums_on_cpu);
}

/// The columns of the entries in ascending order, and the entries in that order, of which those of
/// the same column keep theirs (a stable sort).
std::pair<torch::Tensor, torch::Tensor> sorted_columns(const DeviceRows& rows) {
  const auto [columns, order] =
      at::sort(rows.indices, std::optional(true), /*dim=*/0, /*descending=*/false);
  return {columns, order};
}

/// Adds derivatives^T . rows to `gradient`, which is 0.
void add_to_gradient(const DeviceRows& rows, const torch::Tensor& derivatives,
                     const torch::Tensor& gradient) {
  if (at::globalContext().deterministicAlgorithms()) {
    const auto [columns, order] = sorted_columns(rows);
    return sum_in_order(rows, derivatives, columns, order, gradient);
  }
  run_kernel<kernels::cuda::SparseScatter>(gradient.device(),
                                           {.rows = rows.view(),
                                            .entries = rows.entries(),
                                            .derivatives = derivatives.const_data_ptr<float>(),
                                            .outputs = derivatives.size(1),
                                            .weight_gradient = gradient.mutable_data_ptr<float>()},
                                           kernels::cuda::sparse_scatter,
                                           kernels::cuda::sparse_scatter_on_cpu);
}

bool can_take_both(const torch::Tensor& weight, const torch::Tensor& bias) {
  return ReadyGradients::can_take(weight) && (!bias.defined() || ReadyGradients::can_take(bias));
}

}  // namespace

namespace sparse_device {

bool suits(const torch::Tensor& csr, const torch::Tensor& weight) {
  return kernels::cuda::are_built() && weight.is_cuda() && csr.device() == weight.device() &&
         csr.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && csr.dim() == 2 &&
         csr.values().dim() == 1 && weight.size(0) <= kernels::cuda::kMostOutputs;
}

torch::Tensor product(const torch::Tensor& x, const torch::Tensor& given_weight) {
  const DeviceRows rows(x);
  const auto weight = given_weight.contiguous();
  auto result = at::empty({x.size(0), weight.size(0)}, weight.options().requires_grad(false));
  run_kernel<kernels::cuda::SparseProduct>(weight.device(),
                                           {.rows = rows.view(),
                                            .entries = rows.entries(),
                                            .weight = weight.const_data_ptr<float>(),
                                            .outputs = weight.size(0),
                                            .out = result.mutable_data_ptr<float>()},
                                           kernels::cuda::sparse_product,
                                           kernels::cuda::sparse_product_on_cpu);
  return result;
}

torch::Tensor transposed_product(const torch::Tensor& x, const torch::Tensor& outer) {
  auto result = at::zeros({outer.size(1), x.size(1)}, outer.options().requires_grad(false));
  add_to_gradient(DeviceRows(x), outer.detach().contiguous(), result);
  return result;
}

torch::Tensor sparse_gradient(const torch::Tensor& x, const torch::Tensor& outer) {
  const DeviceRows rows(x);
  const auto derivatives = outer.detach().contiguous();
  const auto [columns, order] = sorted_columns(rows);
  const auto [distinct, places, counts] =
      at::unique_consecutive(columns, /*return_inverse=*/true, /*return_counts=*/false);
  const int64_t outputs = derivatives.size(1);
  const auto sums = at::empty({outputs, distinct.size(0)}, derivatives.options());
  sum_in_order(rows, derivatives, places.to(at::kInt), order, sums);
  const auto numbers = at::arange(outputs, columns.options().dtype(at::kLong));
  const auto indices =
      at::stack({numbers.unsqueeze(1).expand({outputs, distinct.size(0)}).flatten(),
                 distinct.to(at::kLong).repeat({outputs})});
  return at::_sparse_coo_tensor_unsafe(indices, sums.flatten(), {outputs, x.size(1)},
                                       sums.options().layout(at::kSparse), /*is_coalesced=*/true);
}

}  // namespace sparse_device

bool SparseClassLoss::can_learn(const Rows& rows, const torch::Tensor& labels,
                                const torch::Tensor& weight, const torch::Tensor& bias) {
  if (!at::GradMode::is_enabled() || TwiceDifferentiable::is_wanted()) return false;
  if (!rows.is_sparse() || !rows.is_whole() || rows.size() == 0) return false;
  if (!can_take_both(weight, bias) || weight.size(0) > kernels::cuda::kMostClasses) return false;
  const auto device = weight.device();
  return (device.is_cpu() || kernels::cuda::are_built()) && rows.source().device() == device &&
         rows.row_shape()[0] == weight.size(1) && labels.device() == device &&
         labels.scalar_type() == at::kLong && labels.dim() == 1 && labels.size(0) == rows.size();
}

torch::Tensor SparseClassLoss::operator()(const Rows& rows, const torch::Tensor& labels,
                                          const torch::Tensor& weight, const torch::Tensor& bias) {
  std::vector<torch::Tensor> parameters{weight};
  if (bias.defined()) parameters.push_back(bias);
  const auto& gradients = ready_.begin(std::move(parameters));
  const c10::DeviceGuard on_device(weight.device());
  const DeviceRows own(rows);
  const bool in_order = at::globalContext().deterministicAlgorithms();
  const auto options = weight.options().requires_grad(false);
  const auto own_labels = labels.contiguous();
  const auto derivatives = at::empty({rows.size(), weight.size(0)}, options);
  auto loss = at::empty({}, options);
  gradients[0].zero_();
  kernels::cuda::SparseRegression pass{
      .rows = own.view(),
      .entries = own.entries(),
      .labels = own_labels.const_data_ptr<int64_t>(),
      .weight = weight.const_data_ptr<float>(),
      .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
      .outputs = weight.size(0),
      .derivatives = derivatives.mutable_data_ptr<float>(),
      .weight_gradient = in_order ? nullptr : gradients[0].mutable_data_ptr<float>(),
      .bias_gradient = bias.defined() ? gradients[1].mutable_data_ptr<float>() : nullptr,
      .loss = loss.mutable_data_ptr<float>()};
  const auto scratch = at::empty({kernels::cuda::scratch_size(pass)}, options);
  pass.scratch = scratch.mutable_data_ptr<float>();
  run_kernel<kernels::cuda::SparseRegression>(weight.device(), pass,
                                              kernels::cuda::sparse_regression,
                                              kernels::cuda::sparse_regression_on_cpu);
  if (in_order) add_to_gradient(own, derivatives, gradients[0]);
  return ready_.make_loss(std::move(loss));
}

}  // namespace levin
