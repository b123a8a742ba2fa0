#include <levin/models/sparse_linear.h>

#include <cstdint>

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/models/csr_entries.h>
#include <levin/models/sparse_device.h>
#include <levin/models/sparse_gradient.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

/// x . weight^T, where x is a sparse CSR tensor.
torch::Tensor sparse_product(const torch::Tensor& x, const torch::Tensor& given_weight) {
  if (!x.is_cpu()) return sparse_device::product(x, given_weight);
  const auto weight = given_weight.contiguous();
  const int64_t outputs = weight.size(0);
  const int64_t features = weight.size(1);
  auto result = at::zeros({x.size(0), outputs}, weight.options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "sparse_product", [&] {
    const auto* from = weight.const_data_ptr<scalar_t>();
    auto* to = result.mutable_data_ptr<scalar_t>();
    for_each_entry<scalar_t>(
        x,
        [=](int64_t row, int64_t column, scalar_t value) {
          for (int64_t o = 0; o < outputs; ++o) {
            to[row * outputs + o] += value * from[o * features + column];
          }
        },
        [=](int64_t column) {
          for (int64_t o = 0; o < outputs; ++o) __builtin_prefetch(from + o * features + column);
        });
  });
  return result;
}

/// outer^T . x [out, in], where x is a sparse CSR tensor.
torch::Tensor transposed_sparse_product(const torch::Tensor& x, const torch::Tensor& given_outer) {
  if (!x.is_cpu()) return sparse_device::transposed_product(x, given_outer);
  const auto outer = given_outer.contiguous();
  const int64_t outputs = outer.size(1);
  const int64_t features = x.size(1);
  auto result = at::zeros({outputs, features}, outer.options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(outer.scalar_type(), "transposed_sparse_product", [&] {
    const auto* from = outer.const_data_ptr<scalar_t>();
    auto* to = result.mutable_data_ptr<scalar_t>();
    for_each_entry<scalar_t>(
        x,
        [=](int64_t row, int64_t column, scalar_t value) {
          for (int64_t o = 0; o < outputs; ++o) {
            to[o * features + column] += value * from[row * outputs + o];
          }
        },
        [=](int64_t column) {
          for (int64_t o = 0; o < outputs; ++o) __builtin_prefetch(to + o * features + column, 1);
        });
  });
  return result;
}

/// A matrix that no gradient flows to, hidden from autograd.
struct ConstantMatrix {
  torch::Tensor x;
};

class TransposedSparseProduct;

class SparseProduct : public autograd::Function<SparseProduct> {
 public:
  static torch::Tensor forward(autograd::AutogradContext* context, const torch::Tensor& weight,
                               const ConstantMatrix& constant, bool has_sparse_gradient) {
    context->saved_data["x"] = constant.x;
    context->saved_data["has_sparse_gradient"] = has_sparse_gradient;
    return sparse_product(constant.x, weight);
  }
  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          const autograd::variable_list& outer);
};

class TransposedSparseProduct : public autograd::Function<TransposedSparseProduct> {
 public:
  static torch::Tensor forward(autograd::AutogradContext* context, const torch::Tensor& factor,
                               const ConstantMatrix& constant) {
    context->saved_data["x"] = constant.x;
    return transposed_sparse_product(constant.x, factor);
  }
  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          const autograd::variable_list& outer);
};

autograd::variable_list SparseProduct::backward(autograd::AutogradContext* context,
                                                const autograd::variable_list& outer) {
  if (!outer[0].defined()) return {{}, {}, {}};
  const auto x = context->saved_data["x"].toTensor();
  if (context->saved_data["has_sparse_gradient"].toBool() && !at::GradMode::is_enabled()) {
    return {x.is_cpu() ? sparse_weight_gradient(x, outer[0])
                       : sparse_device::sparse_gradient(x, outer[0]),
            {},
            {}};
  }
  return {TransposedSparseProduct::apply(outer[0], ConstantMatrix{x}), {}, {}};
}

autograd::variable_list TransposedSparseProduct::backward(autograd::AutogradContext* context,
                                                          const autograd::variable_list& outer) {
  if (!outer[0].defined()) return {{}, {}};
  const auto x = context->saved_data["x"].toTensor();
  return {SparseProduct::apply(outer[0], ConstantMatrix{x}, /*has_sparse_gradient=*/false), {}};
}

}  // namespace

torch::Tensor sparse_linear(const torch::Tensor& input, const torch::Tensor& weight,
                            const torch::Tensor& bias, bool has_sparse_gradient) {
  if (input.requires_grad()) {
    throw ModuleError::contract(
        "linear", "got a sparse CSR tensor that requires a gradient",
        "give it x.detach(), or x.to_dense() if gradients shall flow to it");
  }
  const bool has_loops =
      !is_divided(weight) && input.size(1) == weight.size(1) && input.is_cpu() && weight.is_cpu() &&
      weight.scalar_type() == input.scalar_type() &&
      (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kDouble);
  if (has_loops) require_entries_in_range(input);
  const bool has_kernels =
      !is_divided(weight) && input.size(1) == weight.size(1) && sparse_device::suits(input, weight);
  // LibTorch differentiates products of its other sparse layout by itself.
  const auto product =
      has_loops || has_kernels
          ? SparseProduct::apply(weight, ConstantMatrix{input}, has_sparse_gradient)
          : at::mm(input.to_sparse(), weight.t());
  return bias.defined() ? product + bias : product;
}

}  // namespace levin
