#include <levin/models/sparse_linear.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
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

/// An entry of a matrix.
template <class Number>
struct MatrixEntry {
  int32_t row = 0;
  int32_t column = 0;
  Number value = 0;
};

/// Sorts entries by their columns and leaves those of a column in their order: a radix sort, whose
/// cost is proportional to the number of entries.
template <class Number>
void sort_by_column(std::vector<MatrixEntry<Number>>& entries, int64_t columns) {
  constexpr int kBits = 11;
  constexpr size_t kPlaces = size_t{1} << kBits;
  std::vector<MatrixEntry<Number>> sorted(entries.size());
  for (int shift = 0; (columns - 1) >> shift > 0; shift += kBits) {
    const auto place = [shift](const MatrixEntry<Number>& entry) {
      return (static_cast<size_t>(entry.column) >> shift) & (kPlaces - 1);
    };
    std::array<size_t, kPlaces + 1> begins{};
    for (const auto& entry : entries) ++begins[place(entry) + 1];
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    for (const auto& entry : entries) sorted[begins[place(entry)]++] = entry;
    entries.swap(sorted);
  }
}

/// outer^T . x as a sparse COO tensor [out, in], coalesced.
template <class Number>
torch::Tensor sparse_gradient_of(const torch::Tensor& x, const torch::Tensor& outer) {
  std::vector<MatrixEntry<Number>> entries;
  entries.reserve(static_cast<size_t>(x.col_indices().size(0)));
  for_each_entry_of<Number>(x, [&entries](int64_t row, int64_t column, Number value) {
    entries.push_back({static_cast<int32_t>(row), static_cast<int32_t>(column), value});
  });
  sort_by_column(entries, x.size(1));
  int64_t distinct = entries.empty() ? 0 : 1;
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].column != entries[i - 1].column) ++distinct;
  }
  const int64_t outputs = outer.size(1);
  const auto indices = at::empty({2, outputs * distinct}, outer.options().dtype(at::kLong));
  const auto values = at::zeros({outputs * distinct}, outer.options());
  auto* places = indices.template mutable_data_ptr<int64_t>();
  auto* sums = values.template mutable_data_ptr<Number>();
  const auto* from = outer.template const_data_ptr<Number>();
  int64_t k = -1;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    const bool is_new = i == 0 || entry.column != entries[i - 1].column;
    if (is_new) ++k;
    for (int64_t o = 0; o < outputs; ++o) {
      const int64_t place = o * distinct + k;
      sums[place] += entry.value * from[entry.row * outputs + o];
      if (!is_new) continue;
      places[place] = o;
      places[outputs * distinct + place] = entry.column;
    }
  }
  return at::_sparse_coo_tensor_unsafe(indices, values, {outputs, x.size(1)},
                                       values.options().layout(at::kSparse),
                                       /*is_coalesced=*/true);
}

/// The gradient of a weight as a sparse tensor.
torch::Tensor sparse_gradient(const torch::Tensor& x, const torch::Tensor& outer) {
  const auto own = outer.detach().contiguous();
  return own.scalar_type() == at::kFloat ? sparse_gradient_of<float>(x, own)
                                         : sparse_gradient_of<double>(x, own);
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
    return {sparse_gradient(x, outer[0]), {}, {}};
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
      input.is_cpu() && weight.is_cpu() && weight.scalar_type() == input.scalar_type() &&
      (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kDouble);
  // LibTorch differentiates products of its other sparse layout by itself.
  const auto product =
      has_loops ? SparseProduct::apply(weight, ConstantMatrix{input}, has_sparse_gradient)
                : at::mm(input.to_sparse(), weight.t());
  return bias.defined() ? product + bias : product;
}

}  // namespace levin
