#pragma once

#include <cstdint>
#include <vector>

namespace levin {

/// Cuts the rows of several files, one file after another, into blocks of consecutive rows. A block
/// is what is read at a time; none reaches over the end of a file.
///
///     const BlockTable table({1000, 250}, /*block_rows=*/400);
///     table.blocks();          // 4: rows 0-399, 400-799, 800-999 and 1000-1249
///     table.find(1100);        // block 3, offset 100
///
/// Rows and blocks are numbered from 0 over all files. Numbers that aren't in range aren't checked.
/// The object never changes, so any number of threads may use it; it takes 16 bytes a file, and a
/// lookup is a binary search among the files.
class BlockTable {
 public:
  /// The usual size of a block. It is long enough that disks read it at full speed, and short
  /// enough that a window of the ShardSampler holds many. With the parts of pages at its ends,
  /// which are read too, a block stays below 4 MiB.
  static constexpr int64_t kBlockBytes = (int64_t{4} << 20) - (int64_t{64} << 10);

  /// `file_rows` are the rows of each file, none of them 0; `block_rows`, at least 1, are the rows
  /// of a block. `block_bytes` is the most memory that a block takes; it is only kept for
  /// `block_bytes()`.
  BlockTable(const std::vector<int64_t>& file_rows, int64_t block_rows,
             int64_t block_bytes = kBlockBytes);
  /// Returns how many rows of the given size kBlockBytes hold; at least 1.
  static int64_t rows_for(int64_t bytes_a_row);

  /// The number of rows and of blocks in all files.
  int64_t rows() const { return file_starts_.back(); }
  int64_t blocks() const { return first_blocks_.back(); }
  /// The rows of every block but the last one of each file, which may have fewer.
  int64_t block_rows() const { return block_rows_; }
  int64_t block_bytes() const { return block_bytes_; }
  /// The number, over all files, of a block's first row.
  int64_t first_row(int64_t block) const;
  /// The number of rows in a block.
  int64_t rows_of(int64_t block) const;
  /// A block's file, and the number of the block's first row within that file.
  struct Place {
    int64_t file = 0;
    int64_t first = 0;
  };
  Place place_of(int64_t block) const;
  /// The block that holds a row, and the number of rows before it in that block.
  struct Row {
    int64_t block = 0;
    int64_t offset = 0;
  };
  Row find(int64_t row) const;

 private:
  std::vector<int64_t> file_starts_;   // the first row of each file, and the number of rows
  std::vector<int64_t> first_blocks_;  // the first block of each file, and the number of blocks
  int64_t block_rows_;
  int64_t block_bytes_;
};

}  // namespace levin
