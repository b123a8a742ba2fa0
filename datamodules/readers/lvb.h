#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/shard.h>

/// Levin's own format of rows, `.lvb`: a header, then records of one size, so that any row can be
/// read at a known offset of the file. All numbers are little-endian.
///
///     offset  bytes  what
///          0      8  89 4c 56 42 0d 0a 1a 0a; a transfer as text would change these bytes
///          8      4  version, 1
///         12      4  size of the header, a multiple of 64: the first record starts there
///         16      8  rows
///         24      8  bytes from record to record
///         32      4  number of columns
///         36      4  CRC-32 of the header with these four bytes 0
///         40      -  a column each: 2 bytes length of its name, 1 dtype, 1 number of sizes,
///                    4 offset in the record, 8 a size, the name, zeros up to a multiple of 8
///          -      4  "NAME" if the features have names; else zeros follow
///          -      4  number of names: that of the features and 1
///          -      -  a name each, the target's last: 2 bytes length, the name
///
/// Records start at multiples of 64 bytes if that makes them at most 1/16 longer, else at multiples
/// of 8. The file ends with the last record. dtypes are numbered as in `DType`. Most users need
/// only `convert`, which writes such files, and `open_shards`, which opens them.
namespace levin::readers {

/// The names that the numbers of a row had in the file that a .lvb file was made of.
struct LvbNames {
  /// Of the numbers of the first column, in their order; empty if they had none.
  std::vector<std::string> features = {};
  /// Of the target; empty if there is none.
  std::string target = {};
};

/// What the header of a .lvb file says.
struct LvbHeader {
  std::vector<Column> columns = {};
  /// Where each column starts within a record, in bytes.
  std::vector<size_t> offsets = {};
  LvbNames names = {};
  int64_t rows = 0;
  /// Bytes from record to record.
  size_t stride = 0;
  /// Bytes of the header: the first record starts there.
  size_t size = 0;

  /// The size of the whole file.
  uint64_t file_bytes() const { return size + static_cast<uint64_t>(rows) * stride; }
};

/// Returns the header of a file with `rows` rows of `columns`, with offsets and stride chosen.
/// `names` are left out if they take more room than a header may have.
LvbHeader lvb_layout(std::vector<Column> columns, int64_t rows, LvbNames names = {});
/// Returns the bytes of the header, ready to be written at the front of the file.
std::string lvb_header(const LvbHeader& header);
/// Reads the header; `bytes` are those of the whole file, and `name` is what errors call it. Throws
/// DataError::corrupt if the header is damaged or the file doesn't have exactly the size that it
/// says.
LvbHeader parse_lvb_header(std::span<const std::byte> bytes, std::string_view name);

}  // namespace levin::readers
