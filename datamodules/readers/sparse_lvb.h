#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/sparse_rows.h>

/// Shards of sparse rows in Levin's own format, `.lvb` of version 2; version 1 holds dense rows
/// (lvb.h). The file is a header of 64 bytes and the lists of `SparseRows`, so that a range of rows
/// can be read without the rest. All numbers are little-endian.
///
///     offset  bytes  what
///          0      8  89 4c 56 42 0d 0a 1a 0a
///          8      4  version, 2
///         12      4  size of the header, 64
///         16      8  rows
///         24      8  entries
///         32      4  number of columns
///         36      4  CRC-32 of the header with these four bytes 0
///         40      4  which lists follow: 1 targets, 2 weights, 4 qids, 8 values (else all are 1)
///         44     20  zeros
///
/// The lists follow in the order offsets, targets, weights, qids, indices, values, each at a
/// multiple of 64 bytes, behind zeros. The file ends with the last of them.
namespace levin::readers {

/// What the header of a shard says.
struct SparseLvbHeader {
  int64_t rows = 0;
  int64_t entries = 0;
  int64_t columns = 0;
  bool has_targets = false;
  bool has_weights = false;
  bool has_qids = false;
  bool has_values = false;
};
/// The bytes of a header.
std::array<std::byte, 64> sparse_lvb_header(const SparseLvbHeader& header);

/// Writes rows as a shard, so that a reader sees either no file or the whole one. Throws
/// CheckpointError if it can't be written.
void write_sparse_lvb(const std::filesystem::path& path, const SparseRows& rows);

/// Whether a file is a shard of sparse rows, by its first bytes. Throws DataError::unreadable if
/// it can't be read.
bool is_sparse_lvb(const std::filesystem::path& path);

/// A shard of sparse rows that is open for reading. Any number of threads may read from it.
///
///     const SparseLvb shard("shard-00000.lvb");
///     const SparseRows rows = shard.read(0, shard.rows());
class SparseLvb {
 public:
  /// Reads the header. Throws DataError::unreadable if the file can't be read, and
  /// DataError::corrupt if the header is damaged, if the file doesn't have exactly the size that it
  /// says, or if its rows are dense.
  explicit SparseLvb(const std::filesystem::path& path);

  /// What errors call it: its path.
  const std::string& name() const { return file_.name(); }
  int64_t rows() const { return rows_; }
  int64_t entries() const { return entries_; }
  int64_t columns() const { return columns_; }
  uint64_t file_bytes() const { return file_.size(); }
  bool has_targets() const { return (lists_ & kTargets) != 0; }

  /// Reads the rows first to first + count - 1, and nothing else of the file. Throws DataError if
  /// they don't exist, and DataError::corrupt if they aren't as SparseRows promises.
  SparseRows read(int64_t first, int64_t count) const;
  /// The same into `rows`, whose memory is used again.
  void read(int64_t first, int64_t count, SparseRows& rows) const;
  bool has_weights() const { return (lists_ & kWeights) != 0; }

 private:
  static constexpr uint64_t kTargets = 1;
  static constexpr uint64_t kWeights = 2;
  static constexpr uint64_t kQids = 4;
  static constexpr uint64_t kValues = 8;

  friend std::array<std::byte, 64> sparse_lvb_header(const SparseLvbHeader& header);
  /// Where the lists start, in bytes; those that aren't there have no length.
  struct Places {
    uint64_t offsets = 0, targets = 0, weights = 0, qids = 0, indices = 0, values = 0, end = 0;
  };
  static Places places(uint64_t rows, uint64_t entries, uint64_t lists);
  void parse_header();
  [[noreturn]] void fail(const std::string& reason) const;

  FileSource file_;
  int64_t rows_ = 0;
  int64_t entries_ = 0;
  int64_t columns_ = 0;
  uint64_t lists_ = 0;
  Places places_;
};

}  // namespace levin::readers
