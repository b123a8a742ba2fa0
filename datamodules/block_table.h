#pragma once

#include <cstdint>
#include <vector>

namespace levin {

/// Cuts the rows of several files, one after another, into blocks of consecutive rows: what is read
/// at a time. No block reaches over the end of a file.
class BlockTable {
 public:
  /// Read at a time: long enough for any disk, short enough to mix many of them.
  static constexpr int64_t kBlockBytes = (int64_t{4} << 20) - (int64_t{64} << 10);

  /// `file_rows`: the rows of each file, none of them 0; `block_bytes`: what a block takes at most.
  BlockTable(const std::vector<int64_t>& file_rows, int64_t block_rows,
             int64_t block_bytes = kBlockBytes);
  /// As many rows as kBlockBytes hold; at least one.
  static int64_t rows_for(int64_t bytes_a_row);

  int64_t rows() const { return file_starts_.back(); }
  int64_t blocks() const { return first_blocks_.back(); }
  /// Rows of every block but the last one of each file.
  int64_t block_rows() const { return block_rows_; }
  int64_t block_bytes() const { return block_bytes_; }
  int64_t first_row(int64_t block) const;
  int64_t rows_of(int64_t block) const;
  /// Which file a block belongs to, and which row of that is its first.
  struct Place {
    int64_t file = 0;
    int64_t first = 0;
  };
  Place place_of(int64_t block) const;
  /// Which block holds a row, and how many rows of it come before.
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
