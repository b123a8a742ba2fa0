#pragma once

#include <levin/framework/tensor/tensor.h>

#include <cstdint>

namespace levin {

/// Whether nobody but the holder of `tensor` uses its memory (no copy, view or graph does) and
/// LibTorch allocated that memory. Only then may it be written again.
bool is_unshared(const torch::Tensor& tensor);

/// `tensor`, resized to [rows, row_shape...], if it is unshared, contiguous, on the CPU, of type
/// `dtype` and its memory is large enough; else a new tensor. The values are left as they are.
torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype);

}  // namespace levin
