#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Plain C++ parsers of files and the code that fetches them; no LibTorch, so that they can be
/// fuzzed alone. Everything here throws DataError for what a file or a server did wrong.
///
/// Start here: `Array` is what the parsers of arrays return; `npy.h`, `idx.h` and `csv.h` read
/// files, `gzip.h` and `zip.h` unpack them, `digest.h` and `download.h` obtain and verify them.
namespace levin::readers {

using Bytes = std::vector<std::byte>;

/// The element types a file can hold.
enum class DType : uint8_t {
  bool_,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  float16,
  float32,
  float64
};

/// Bytes of one element.
size_t item_size(DType dtype);
/// NumPy's name: "bool", "uint8", "float32" ...
std::string_view dtype_name(DType dtype);

/// The product of the sizes; empty where a size is negative or the product exceeds 2^63 - 1.
std::optional<int64_t> element_count(std::span<const int64_t> shape);
/// The bytes of an array; empty where they can't be counted or addressed.
std::optional<size_t> byte_count(std::span<const int64_t> shape, DType dtype);

/// The DType of a C++ type; float16 has none.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return DType::bool_;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::uint8;
  if constexpr (std::is_same_v<T, uint16_t>) return DType::uint16;
  if constexpr (std::is_same_v<T, uint32_t>) return DType::uint32;
  if constexpr (std::is_same_v<T, uint64_t>) return DType::uint64;
  if constexpr (std::is_same_v<T, int8_t>) return DType::int8;
  if constexpr (std::is_same_v<T, int16_t>) return DType::int16;
  if constexpr (std::is_same_v<T, int32_t>) return DType::int32;
  if constexpr (std::is_same_v<T, int64_t>) return DType::int64;
  if constexpr (std::is_same_v<T, float>) return DType::float32;
  if constexpr (std::is_same_v<T, double>) return DType::float64;
}

/// A dense array in row-major order and the machine's byte order; no sizes means a scalar.
struct Array {
  std::vector<int64_t> shape = {};
  DType dtype = DType::float64;
  Bytes bytes = {};

  /// Elements, the product of the sizes.
  int64_t size() const { return static_cast<int64_t>(bytes.size() / item_size(dtype)); }

  /// The elements as `T`. Throws DataError where the array holds another type.
  template <class T>
  std::span<const T> values() const {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(size())};
  }

  /// A copy of `values`. Throws DataError where their number isn't the product of `shape`.
  template <class T>
  static Array of(std::vector<int64_t> shape, std::span<const T> values) {
    return copy_of(std::move(shape), dtype_of<T>(), std::as_bytes(values));
  }

 private:
  void require_dtype(DType wanted) const;
  static Array copy_of(std::vector<int64_t> shape, DType dtype, std::span<const std::byte> bytes);
};

}  // namespace levin::readers
