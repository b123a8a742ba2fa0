#include <levin/serving/protocol/tensor_numbers.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <levin/serving/protocol/json_text.h>

namespace levin {

namespace {

template <class T>
T stored_at(const WireTensor& tensor, size_t index) {
  T value{};
  std::memcpy(&value, tensor.data.data() + index * sizeof(T), sizeof(T));
  return value;
}

float bfloat16_at(const WireTensor& tensor, size_t index) {
  return std::bit_cast<float>(uint32_t{stored_at<uint16_t>(tensor, index)} << 16);
}

float half_at(const WireTensor& tensor, size_t index) {
  const uint32_t bits = stored_at<uint16_t>(tensor, index);
  const auto exponent = static_cast<int>((bits >> 10) & 0x1f);
  const auto fraction = static_cast<float>(bits & 0x3ff);
  float value = 0.0F;
  if (exponent == 0x1f) {
    value = fraction == 0.0F ? std::numeric_limits<float>::infinity()
                             : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 1024.0F, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

/// Calls `use` with an element as the widest type of its kind: int64_t, uint64_t, float, double or
/// bool.
template <class Use>
auto with_element(const WireTensor& tensor, size_t index, const Use& use) {
  switch (tensor.type) {
    case WireType::boolean:
      return use(stored_at<uint8_t>(tensor, index) != 0);
    case WireType::uint8:
      return use(uint64_t{stored_at<uint8_t>(tensor, index)});
    case WireType::uint16:
      return use(uint64_t{stored_at<uint16_t>(tensor, index)});
    case WireType::uint32:
      return use(uint64_t{stored_at<uint32_t>(tensor, index)});
    case WireType::uint64:
      return use(stored_at<uint64_t>(tensor, index));
    case WireType::int8:
      return use(int64_t{stored_at<int8_t>(tensor, index)});
    case WireType::int16:
      return use(int64_t{stored_at<int16_t>(tensor, index)});
    case WireType::int32:
      return use(int64_t{stored_at<int32_t>(tensor, index)});
    case WireType::int64:
      return use(stored_at<int64_t>(tensor, index));
    case WireType::fp16:
      return use(half_at(tensor, index));
    case WireType::bf16:
      return use(bfloat16_at(tensor, index));
    case WireType::fp32:
      return use(stored_at<float>(tensor, index));
    default:
      return use(stored_at<double>(tensor, index));
  }
}

template <class T>
bool append_as(std::string& data, double value) {
  if constexpr (std::numeric_limits<T>::is_integer) {
    // Both bounds are doubles: the least value, and the power of two above the largest one.
    const double least = static_cast<double>(std::numeric_limits<T>::min());
    const double above = std::ldexp(1.0, std::numeric_limits<T>::digits);
    if (!(value >= least && value < above) || value != std::floor(value)) return false;
  }
  const T stored = static_cast<T>(value);
  if constexpr (!std::numeric_limits<T>::is_integer) {
    if (std::isfinite(value) && !std::isfinite(stored)) return false;
  }
  data.append(reinterpret_cast<const char*>(&stored), sizeof(T));
  return true;
}

}  // namespace

double number_at(const WireTensor& tensor, size_t index) {
  return with_element(tensor, index, [](auto value) { return static_cast<double>(value); });
}

std::string text_at(const WireTensor& tensor, size_t index) {
  return with_element(tensor, index, [](auto value) {
    if constexpr (std::is_floating_point_v<decltype(value)>) {
      if (std::isnan(value)) return std::string("NaN");
      if (std::isinf(value)) return std::string(value > 0 ? "Infinity" : "-Infinity");
    }
    std::string text;
    append_json(text, value);
    return text;
  });
}

bool append_number(WireTensor& tensor, double value) {
  switch (tensor.type) {
    case WireType::boolean:
      if (value != 0.0 && value != 1.0) return false;
      return append_as<uint8_t>(tensor.data, value);
    case WireType::uint8:
      return append_as<uint8_t>(tensor.data, value);
    case WireType::uint16:
      return append_as<uint16_t>(tensor.data, value);
    case WireType::uint32:
      return append_as<uint32_t>(tensor.data, value);
    case WireType::uint64:
      return append_as<uint64_t>(tensor.data, value);
    case WireType::int8:
      return append_as<int8_t>(tensor.data, value);
    case WireType::int16:
      return append_as<int16_t>(tensor.data, value);
    case WireType::int32:
      return append_as<int32_t>(tensor.data, value);
    case WireType::int64:
      return append_as<int64_t>(tensor.data, value);
    case WireType::fp32:
      return append_as<float>(tensor.data, value);
    case WireType::fp64:
      return append_as<double>(tensor.data, value);
    default:
      return false;
  }
}

}  // namespace levin
