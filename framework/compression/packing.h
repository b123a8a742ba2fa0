#pragma once

#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Packs numbers of `bits` bits (1, 2, 4 or 8) into bytes: `numbers` are uint8, [n], each below 2
/// to the power of `bits`. The result is uint8, [ceil(n * bits / 8)].
torch::Tensor pack_bits(const torch::Tensor& numbers, int64_t bits);
/// Returns the first `count` numbers that pack_bits has packed.
torch::Tensor unpack_bits(const torch::Tensor& bytes, int64_t bits, int64_t count);

/// Puts the bytes of contiguous tensors one after the other, each at a multiple of eight bytes.
torch::Tensor join_bytes(const std::vector<torch::Tensor>& parts);
/// Takes such tensors from bytes, in their order. The result of `next` may share memory with
/// `bytes`, which must begin at a multiple of eight bytes.
class BytesReader {
 public:
  explicit BytesReader(torch::Tensor bytes) : bytes_(std::move(bytes)) {}
  /// The next tensor, [count], of that type.
  torch::Tensor next(at::ScalarType type, int64_t count);

 private:
  torch::Tensor bytes_;
  int64_t place_ = 0;
};

}  // namespace levin
