#include <levin/models/sparse_linear.h>

#include <cstdint>
#include <optional>

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

/// Calls `use(row, column, value)` for each entry of a CSR tensor on the CPU.
template <class Number, class Index, class Use>
void for_each_entry(const torch::Tensor& csr, Use use) {
  const auto offsets = csr.crow_indices().contiguous();
  const auto indices = csr.col_indices().contiguous();
  const auto values = csr.values().contiguous();
  const auto* own_offsets = offsets.const_data_ptr<Index>();
  const auto* columns = indices.const_data_ptr<Index>();
  const auto* numbers = values.const_data_ptr<Number>();
  const int64_t rows = csr.size(0);
  for (int64_t row = 0; row < rows; ++row) {
    for (Index i = own_offsets[row]; i < own_offsets[row + 1]; ++i) {
      use(row, static_cast<int64_t>(columns[i]), numbers[i]);
    }
  }
}

/// The same for the types that the tensor has.
template <class Number, class Use>
void for_each_entry_of(const torch::Tensor& csr, Use use) {
  if (csr.crow_indices().scalar_type() == at::kInt) {
    for_each_entry<Number, int32_t>(csr, use);
  } else {
    for_each_entry<Number, int64_t>(csr, use);
  }
}

/// x . weight^T, where x is a sparse CSR tensor.
torch::Tensor sparse_product(const torch::Tensor& x, const torch::Tensor& given_weight) {
  const auto weight = given_weight.contiguous();
  const int64_t outputs = weight.size(0);
  const int64_t features = weight.size(1);
  auto result = at::zeros({x.size(0), outputs}, weight.options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "sparse_product", [&] {
    const auto* from = weight.const_data_ptr<scalar_t>();
    auto* to = result.mutable_data_ptr<scalar_t>();
    for_each_entry_of<scalar_t>(x, [=](int64_t row, int64_t column, scalar_t value) {
      for (int64_t o = 0; o < outputs; ++o) {
        to[row * outputs + o] += value * from[o * features + column];
      }
    });
  });
  return result;
}

/// outer^T . x [out, in], where x is a sparse CSR tensor.
torch::Tensor transposed_sparse_product(const torch::Tensor& x, const torch::Tensor& given_outer) {
  const auto outer = given_outer.contiguous();
  const int64_t outputs = outer.size(1);
  const int64_t features = x.size(1);
  auto result = at::zeros({outputs, features}, outer.options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(outer.scalar_type(), "transposed_sparse_product", [&] {
    const auto* from = outer.const_data_ptr<scalar_t>();
    auto* to = result.mutable_data_ptr<scalar_t>();
    for_each_entry_of<scalar_t>(x, [=](int64_t row, int64_t column, scalar_t value) {
      for (int64_t o = 0; o < outputs; ++o) {
        to[o * features + column] += value * from[row * outputs + o];
      }
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
                               const ConstantMatrix& constant) {
    context->saved_data["x"] = constant.x;
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
  if (!outer[0].defined()) return {{}, {}};
  return {
      TransposedSparseProduct::apply(outer[0], ConstantMatrix{context->saved_data["x"].toTensor()}),
      {}};
}

autograd::variable_list TransposedSparseProduct::backward(autograd::AutogradContext* context,
                                                          const autograd::variable_list& outer) {
  if (!outer[0].defined()) return {{}, {}};
  return {SparseProduct::apply(outer[0], ConstantMatrix{context->saved_data["x"].toTensor()}), {}};
}

}  // namespace

torch::Tensor sparse_linear(const torch::Tensor& input, const torch::Tensor& weight,
                            const torch::Tensor& bias) {
  if (input.requires_grad()) {
    throw ModuleError::contract(
        "linear", "got a sparse CSR tensor that requires a gradient",
        "give it x.detach(), or x.to_dense() if gradients shall flow to it");
  }
  const bool has_loops =
      input.is_cpu() && weight.is_cpu() && weight.scalar_type() == input.scalar_type() &&
      (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kDouble);
  // LibTorch differentiates products of its other sparse layout by itself.
  const auto product = has_loops ? SparseProduct::apply(weight, ConstantMatrix{input})
                                 : at::mm(input.to_sparse(), weight.t());
  return bias.defined() ? product + bias : product;
}

}  // namespace levin
