#pragma once

#include <levin/framework/tensor/tensor.h>

#include <cstdint>
#include <optional>
#include <span>

namespace levin {

/// What the bytes of a uint8 tensor stand for: (byte - zero_point) * scale, float32.
struct ByteScale {
  float scale = 1.0F / 255.0F;
  float zero_point = 0.0F;
};

/// Rows of a tensor that nobody has copied yet.
struct RowSource {
  /// [rows, ...], contiguous on the CPU; undefined: there is nothing to gather.
  torch::Tensor tensor;
  /// Set where the tensor keeps bytes that stand for float32 numbers.
  std::optional<ByteScale> scale;
};

/// Copies `rows` of `source`, in that order, into `target`'s memory where it can be used again
/// (`reuse_or_allocate`), else into new memory. On the calling thread alone; converts bytes on the
/// way.
torch::Tensor gather(const RowSource& source, std::span<const int64_t> rows, torch::Tensor target);

/// Whether nobody but the holder of `tensor` uses its memory (no copy, view or graph), which is
/// LibTorch's own: only then may it be written again.
bool is_unshared(const torch::Tensor& tensor);

/// `tensor` resized to [rows, row_shape...] where it is unshared and of that type on the CPU, else
/// a new one: the buffer a gather writes into.
torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype);

}  // namespace levin
