#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// The types of elements of the Open Inference Protocol (KServe V2), and Triton's BF16.
enum class WireType : uint8_t {
  boolean,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  fp16,
  bf16,
  fp32,
  fp64,
  bytes,
};

/// Returns the protocol's name of a type: "FP32", "BYTES".
std::string_view name_of(WireType type);
/// Returns the type that the protocol calls `name`; nothing if there is none.
std::optional<WireType> wire_type(std::string_view name);
/// Returns the number of bytes of an element; 0 for WireType::bytes, whose elements differ.
size_t element_size(WireType type);

/// A tensor as it travels between a client and a server, without LibTorch.
struct WireTensor {
  std::string name{};
  WireType type = WireType::fp32;
  /// The sizes, [rows, ...]; none is negative.
  std::vector<int64_t> shape{};
  /// The elements, little-endian and row-major without gaps, as in the binary tensor extension. A
  /// BYTES element is its length as uint32, followed by that many bytes.
  std::string data{};

  /// The product of the sizes.
  int64_t elements() const;
  /// The first size: how many rows the tensor has. 1 for a tensor without sizes.
  int64_t rows() const { return shape.empty() ? 1 : shape.front(); }
};

/// Returns the elements of a BYTES tensor, which point into its data. Throws Refusal (400) if the
/// lengths don't fit the data or the shape.
std::vector<std::string_view> bytes_elements(const WireTensor& tensor);
/// Appends an element to the data of a BYTES tensor.
void append_bytes_element(std::string& data, std::string_view element);

}  // namespace levin
