#include <levin/framework/optimizers/sparse_numbers.h>

#include <ATen/TensorOperators.h>

#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/sparse.h>
#include <levin/framework/tensor/run_kernel.h>

namespace levin {
namespace {

/// Whether the columns of `indices` [1 or 2, entries], which name places, ascend strictly.
bool are_ascending(const torch::Tensor& indices) {
  const int64_t count = indices.size(1);
  const auto* first = indices.const_data_ptr<int64_t>();
  const auto* last = first + (indices.size(0) - 1) * count;
  bool fine = true;
  for (int64_t i = 1; i < count; ++i) {
    fine &= first[i - 1] < first[i] || (first[i - 1] == first[i] && last[i - 1] < last[i]);
  }
  return fine;
}

/// The same by operations, on any device.
bool are_ascending(const torch::Tensor& indices, int64_t columns) {
  const int64_t count = indices.size(1);
  if (count < 2) return true;
  const auto last = indices[indices.size(0) - 1];
  const auto places = indices.size(0) == 1 ? last : indices[0] * columns + last;
  return places.narrow(0, 1, count - 1).gt(places.narrow(0, 0, count - 1)).all().item<bool>();
}

bool has_plain_numbers(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  return gradient.is_sparse() && gradient.scalar_type() == parameter.scalar_type() &&
         gradient.sizes() == parameter.sizes() && parameter.is_contiguous() &&
         gradient.dense_dim() == 0 && gradient.dim() >= 1 && gradient.dim() <= 2;
}

}  // namespace

torch::Tensor coalesced(const torch::Tensor& gradient) {
  if (gradient.is_coalesced()) return gradient;
  const auto indices = gradient._indices();
  const bool is_simple = indices.is_contiguous() && indices.size(0) >= 1 && indices.size(0) <= 2;
  if (!is_simple) return gradient.coalesce();
  const bool is_fine =
      indices.is_cpu() ? are_ascending(indices) : are_ascending(indices, gradient.size(-1));
  return is_fine ? gradient._coalesced_(true) : gradient.coalesce();
}

bool has_single_numbers(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  const auto type = parameter.scalar_type();
  return gradient.is_cpu() && parameter.is_cpu() && (type == at::kFloat || type == at::kDouble) &&
         has_plain_numbers(parameter, gradient);
}

bool suits_device_step(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  return kernels::cuda::are_built() && parameter.is_cuda() &&
         gradient.device() == parameter.device() && parameter.scalar_type() == at::kFloat &&
         has_plain_numbers(parameter, gradient);
}

void step_on_device(const torch::Tensor& parameter, const torch::Tensor& squares,
                    const torch::Tensor& gradient, double rate, double eps) {
  const auto indices = gradient._indices().contiguous();
  const auto values = gradient._values().contiguous();
  const auto* first = indices.const_data_ptr<int64_t>();
  kernels::cuda::SparseStep step;
  step.parameter = parameter.mutable_data_ptr<float>();
  step.squares = squares.defined() ? squares.mutable_data_ptr<float>() : nullptr;
  step.rows = indices.size(0) == 1 ? nullptr : first;
  step.columns = first + (indices.size(0) - 1) * values.size(0);
  step.gradient = values.const_data_ptr<float>();
  step.count = values.size(0);
  step.row_size = gradient.size(-1);
  step.rate = rate;
  step.eps = eps;
  run_kernel<kernels::cuda::SparseStep>(parameter.device(), step, kernels::cuda::sparse_step,
                                        kernels::cuda::sparse_step_on_cpu);
  for (const auto& changed : {parameter, squares}) {
    if (changed.defined()) changed.unsafeGetTensorImpl()->bump_version();
  }
}

}  // namespace levin
