#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// What the header of a .npy file says.
struct NpyHeader {
  DType dtype = DType::float64;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<int64_t> shape = {};
  /// Bytes before the first element.
  size_t size = 0;
};

/// Longer headers belong to record arrays, which aren't read.
constexpr size_t kLongestNpyHeader = size_t{1} << 20;

/// Reads the header at the front of `bytes`, which need not hold more than kLongestNpyHeader bytes.
/// Throws DataError::corrupt, or DataError::bad_value for an element type that isn't read.
NpyHeader parse_npy_header(std::span<const std::byte> bytes, std::string_view name);

/// The header `numpy.save` writes for a row-major array.
std::string npy_header(DType dtype, std::span<const int64_t> shape);

}  // namespace levin::readers
