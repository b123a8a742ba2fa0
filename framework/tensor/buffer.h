#pragma once

// The memory of tensors. A loader writes the next batch into the tensors of an earlier one, if
// nobody else holds them any more, instead of allocating new ones; large data lie in huge pages.

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

/// Returns a CPU tensor [size] as `reuse_or_allocate` does, also in the memory of a longer or
/// shorter one. New memory is an eighth larger, because the next batch may have more numbers.
torch::Tensor reuse_with_room(torch::Tensor tensor, int64_t size, at::ScalarType dtype);

/// Returns a CPU tensor for its values to be written, as at::empty does. A large one lies in huge
/// pages (2 MiB) if the system offers them: rows that are picked from it at random then cost fewer
/// misses in the processor's cache of address translations, and writing it first takes a third of
/// the time. For data that stays.
torch::Tensor empty_in_huge_pages(at::IntArrayRef shape, at::ScalarType dtype);

/// Returns the CPU tensor `tensor` as type `dtype`: itself if it is of that type, or else a
/// contiguous copy made by `empty_in_huge_pages`. Records no gradients.
torch::Tensor converted_in_huge_pages(const torch::Tensor& tensor, at::ScalarType dtype);

}  // namespace levin
