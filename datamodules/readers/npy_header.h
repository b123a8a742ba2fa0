#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>

/// The header at the front of a .npy file, for code that reads the elements itself, such as
/// open_npy, which leaves them in the file. To read an array, use `read_npy` in npy.h.
namespace levin::readers {

/// What the header of a .npy file says about the elements that follow it.
struct NpyHeader {
  DType dtype = DType::float64;
  /// Whether elements of more than one byte have their most significant byte first.
  bool big_endian = false;
  /// Whether the elements are in column-major order, in which the first index goes fastest.
  bool fortran_order = false;
  /// The sizes; none for a scalar. A damaged header may claim more elements than the file has.
  std::vector<int64_t> shape = {};
  /// Bytes before the first element.
  size_t size = 0;
};

/// The longest header that is read, in bytes. Longer ones belong to record arrays, which aren't
/// read.
constexpr size_t kLongestNpyHeader = size_t{1} << 20;

/// Reads the header at the front of `bytes`, which may be the whole file or its first
/// kLongestNpyHeader bytes. `name` is what errors call the file. Throws DataError::corrupt if the
/// header is damaged, truncated or of an unknown version, and DataError for an element type that
/// isn't read.
NpyHeader parse_npy_header(std::span<const std::byte> bytes, std::string_view name);

/// Returns the header that `numpy.save` writes for a row-major array.
std::string npy_header(DType dtype, std::span<const int64_t> shape);

}  // namespace levin::readers
