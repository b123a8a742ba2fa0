#pragma once

// Functions for reusing the memory of batches: a loader writes the next batch into the tensors of
// an earlier one, if nobody else holds them any more, instead of allocating new ones.

#include <levin/framework/tensor/tensor.h>

#include <cstdint>

namespace levin {

/// Returns whether nobody but the holder of `tensor` uses its memory (no copy, view or graph does)
/// and LibTorch allocated that memory. Only then may it be written again. False for an undefined
/// tensor and for one that requires a gradient.
bool is_unshared(const torch::Tensor& tensor);

/// Returns a CPU tensor [rows, row_shape...] of type `dtype` for its values to be written. That is
/// `tensor` itself, with another number of rows, if it is unshared, contiguous and on the CPU, its
/// type and row shape are these, and its memory is large enough; nothing is allocated then. Else it
/// is a new tensor. The values are undefined. Pass the tensor by std::move: a copy that the caller
/// keeps makes it shared.
torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype);

}  // namespace levin
