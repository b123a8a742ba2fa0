#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/shard.h>

/// Levin's own format of rows, `.lvb`: a header, then records of one size that can be mapped and
/// read at any row with one seek. All numbers are little-endian.
///
///     offset  bytes  what
///          0      8  89 4c 56 42 0d 0a 1a 0a: tells a file that was sent as text
///          8      4  version, 1
///         12      4  size of the header, a multiple of 64: the first record starts there
///         16      8  rows
///         24      8  bytes from record to record
///         32      4  number of columns
///         36      4  CRC-32 of the header with these four bytes 0
///         40      -  a column each: 2 bytes length of its name, 1 dtype, 1 number of sizes,
///                    4 offset in the record, 8 a size, the name, zeros up to a multiple of 8
///
/// Records start at multiples of 64 bytes where that makes the file at most 1/16 longer, else of 8.
/// The file ends with the last record. dtypes are numbered as in `DType`.
namespace levin::readers {

/// What the header of a .lvb file says.
struct LvbHeader {
  std::vector<Column> columns = {};
  /// Where each column lies in a record.
  std::vector<size_t> offsets = {};
  int64_t rows = 0;
  /// Bytes from record to record.
  size_t stride = 0;
  /// Bytes before the first record.
  size_t size = 0;

  uint64_t file_bytes() const { return size + static_cast<uint64_t>(rows) * stride; }
};

/// How `rows` rows of `columns` are laid out.
LvbHeader lvb_layout(std::vector<Column> columns, int64_t rows);
/// The bytes of the header.
std::string lvb_header(const LvbHeader& header);
/// Reads the header of a whole file. Throws DataError::corrupt for anything but one, and where the
/// file hasn't exactly the size that the header says.
LvbHeader parse_lvb_header(std::span<const std::byte> bytes, std::string_view name);

}  // namespace levin::readers
