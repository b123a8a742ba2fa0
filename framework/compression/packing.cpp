#include <levin/framework/compression/packing.h>

#include <ATen/Functions.h>

namespace levin {
namespace {

constexpr int64_t kPartAlignment = 8;  // bytes, the size of the largest type

int64_t padded_to(int64_t size, int64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

}  // namespace

// Byte j holds the numbers j, j + m, j + 2 m ..., if there are m bytes: neighbouring numbers are
// then in neighbouring bytes, which vector units like.
torch::Tensor pack_bits(const torch::Tensor& numbers, int64_t bits) {
  const int64_t a_byte = 8 / bits;
  const int64_t padding = padded_to(numbers.numel(), a_byte) - numbers.numel();
  const auto rows =
      (padding == 0 ? numbers : at::constant_pad_nd(numbers, {0, padding})).view({a_byte, -1});
  auto bytes = rows[0].clone();
  for (int64_t i = 1; i < a_byte; ++i) {
    bytes.bitwise_or_(rows[i].bitwise_left_shift(at::Scalar(i * bits)));
  }
  return bytes;
}

torch::Tensor unpack_bits(const torch::Tensor& bytes, int64_t bits, int64_t count) {
  const int64_t a_byte = 8 / bits;
  auto rows = at::empty({a_byte, bytes.numel()}, bytes.options());
  const at::Scalar mask((int64_t{1} << bits) - 1);
  for (int64_t i = 0; i < a_byte; ++i) {
    auto row = rows[i];
    row.copy_(bytes.bitwise_right_shift(at::Scalar(i * bits))).bitwise_and_(mask);
  }
  return rows.view({-1}).narrow(0, 0, count);
}

torch::Tensor join_bytes(const std::vector<torch::Tensor>& parts) {
  int64_t size = 0;
  for (const auto& part : parts)
    size += padded_to(static_cast<int64_t>(part.nbytes()), kPartAlignment);
  auto bytes = at::zeros({size}, parts.front().options().dtype(at::kByte));
  int64_t place = 0;
  for (const auto& part : parts) {
    const auto length = static_cast<int64_t>(part.nbytes());
    if (length > 0) bytes.narrow(0, place, length).copy_(part.view({-1}).view(at::kByte));
    place += padded_to(length, kPartAlignment);
  }
  return bytes;
}

torch::Tensor BytesReader::next(at::ScalarType type, int64_t count) {
  const int64_t length = count * static_cast<int64_t>(c10::elementSize(type));
  const auto part = bytes_.narrow(0, place_, length).view(type);
  place_ += padded_to(length, kPartAlignment);
  return part;
}

}  // namespace levin
