#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Plain C++ parsers of files, and the code that fetches files. Nothing here uses LibTorch, so that
/// the parsers can be fuzzed alone; `to_tensor` (datamodules/tensors.h) makes tensors of what they
/// return. Functions and classes of this folder throw DataError for what a file or a server did
/// wrong.
///
/// Start here: `Array` is what the parsers of arrays return. `npy.h`, `idx.h` and `csv.h` read
/// files, `gzip.h` and `zip.h` unpack them, `digest.h` and `download.h` verify and obtain them, and
/// `shard.h` opens files that don't fit in memory.
///
/// Two conventions hold throughout. A function that gets bytes and a `name` parses a file that is
/// in memory, and `name` is what errors call it; a function that gets a path reads the file and
/// uses the path. Sizes that a file claims are compared with the bytes that are there before memory
/// is allocated for them.
namespace levin::readers {

/// The contents of a file or of an array. They are aligned for every element type, because vectors
/// allocate memory that is.
using Bytes = std::vector<std::byte>;

/// The element types that a file can hold. Integers and floats have the number of bits in their
/// name; float16 is IEEE 754 binary16, and a bool is a byte, 0 or 1. The order of the types is part
/// of the .lvb format.
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

/// The bytes of one element.
size_t item_size(DType dtype);
/// NumPy's name of the type: "bool", "uint8", "float32" and so on.
std::string_view dtype_name(DType dtype);

/// The number of elements of an array of this shape: the product of the sizes, which is 1 for a
/// scalar. Nothing if a size is negative or the product is above 2^63 - 1, as a damaged file may
/// claim.
std::optional<int64_t> element_count(std::span<const int64_t> shape);
/// The bytes of an array of this shape and type; nothing if there is no `element_count`, or if the
/// bytes are above 2^63 - 1.
std::optional<size_t> byte_count(std::span<const int64_t> shape, DType dtype);

/// The DType of a C++ type. float16 has no C++ type here.
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

/// A dense array in memory: the elements in row-major order and the machine's byte order. It owns
/// its bytes; copies copy them.
///
///     const Array x = Array::of<float>({2, 3}, values);      // values: 6 floats
///     x.values<float>()[4];                                  // row 1, column 1
///     x.values<double>();                                    // throws DataError
struct Array {
  /// The sizes, the slowest one first; none for a scalar.
  std::vector<int64_t> shape = {};
  /// The type of the elements.
  DType dtype = DType::float64;
  /// The elements one after another, without padding.
  Bytes bytes = {};

  /// The number of elements, counted from `bytes`.
  int64_t size() const { return static_cast<int64_t>(bytes.size() / item_size(dtype)); }

  /// The elements as a view of `bytes`, valid as long as these are. Throws DataError if `T` isn't
  /// the type of the array; nothing is converted. float16 has no C++ type here, see `bytes`.
  template <class T>
  std::span<const T> values() const {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(size())};
  }

  /// An array with a copy of `values`. Throws DataError if their number isn't the product of
  /// `shape`.
  template <class T>
  static Array of(std::vector<int64_t> shape, std::span<const T> values) {
    return copy_of(std::move(shape), dtype_of<T>(), std::as_bytes(values));
  }

 private:
  /// Throws DataError if the array holds another type than `wanted`.
  void require_dtype(DType wanted) const;
  /// What `of` does, for bytes of any type.
  static Array copy_of(std::vector<int64_t> shape, DType dtype, std::span<const std::byte> bytes);
};

}  // namespace levin::readers
