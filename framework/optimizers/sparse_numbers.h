#pragma once

#include <cstdint>

#include <levin/framework/tensor/tensor.h>

namespace levin {

// What optimizers do with sparse gradients whose entries are single numbers, such as those of
// linear models on sparse rows (models/sparse_gradient.h). LibTorch's operations on sparse tensors
// would take several passes over them.

/// Whether `for_each_number` can go through the gradient: it is a sparse COO tensor of single
/// numbers, float32 or float64 as the parameter, of at most two dimensions, and both are on the
/// CPU, the parameter contiguous.
bool has_single_numbers(const torch::Tensor& parameter, const torch::Tensor& gradient);

/// Returns the gradient coalesced: as it is, if its entries are in ascending order already.
/// Autograd forgets that a gradient was coalesced, and LibTorch would sort its entries again.
torch::Tensor coalesced(const torch::Tensor& gradient);

/// Whether `step_on_device` can go through the gradient: as above, but float32, and both are on the
/// same GPU, in a build that has the kernels.
bool suits_device_step(const torch::Tensor& parameter, const torch::Tensor& gradient);

/// Changes the entries of a parameter that a sparse gradient of single numbers has, by
/// kernels::cuda::sparse_step, on the CPU by its twin. `squares`: Adagrad's sums of squares, with
/// which the gradient must be coalesced, or undefined for SGD. Nothing is checked.
void step_on_device(const torch::Tensor& parameter, const torch::Tensor& squares,
                    const torch::Tensor& gradient, double rate, double eps = 0.0);

/// Calls `use(place, number)` for each entry of the gradient, where `place` is that of the entry in
/// the memory of the parameter. In a gradient that isn't coalesced, places may occur twice.
template <class Number, class Use>
void for_each_number(const torch::Tensor& gradient, Use use) {
  const auto indices = gradient._indices().contiguous();
  const auto values = gradient._values().contiguous();
  const auto* numbers = values.const_data_ptr<Number>();
  const int64_t count = values.size(0);
  const auto* last = indices.const_data_ptr<int64_t>() + (indices.size(0) - 1) * count;
  const auto* rows = indices.size(0) == 1 ? nullptr : indices.const_data_ptr<int64_t>();
  const int64_t columns = gradient.size(-1);
  for (int64_t i = 0; i < count; ++i) {
    use((rows != nullptr ? rows[i] * columns : 0) + last[i], numbers[i]);
  }
}

}  // namespace levin
