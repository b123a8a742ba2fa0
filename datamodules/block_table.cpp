#include <levin/datamodules/block_table.h>

#include <algorithm>

namespace levin {
namespace {

/// Returns the i for which starts[i] <= value < starts[i + 1]. `starts` ascends, and its last
/// element is the end of the last interval.
int64_t interval_of(const std::vector<int64_t>& starts, int64_t value) {
  return std::upper_bound(starts.begin(), starts.end(), value) - starts.begin() - 1;
}

}  // namespace

BlockTable::BlockTable(const std::vector<int64_t>& file_rows, int64_t block_rows,
                       int64_t block_bytes)
    : file_starts_{0}, first_blocks_{0}, block_rows_(block_rows), block_bytes_(block_bytes) {
  for (const int64_t rows : file_rows) {
    file_starts_.push_back(file_starts_.back() + rows);
    first_blocks_.push_back(first_blocks_.back() + (rows + block_rows - 1) / block_rows);
  }
}

int64_t BlockTable::rows_for(int64_t bytes_a_row) {
  return std::max<int64_t>(1, kBlockBytes / std::max<int64_t>(1, bytes_a_row));
}

BlockTable::Place BlockTable::place_of(int64_t block) const {
  const int64_t file = interval_of(first_blocks_, block);
  return {file, (block - first_blocks_[static_cast<size_t>(file)]) * block_rows_};
}

int64_t BlockTable::first_row(int64_t block) const {
  const Place place = place_of(block);
  return file_starts_[static_cast<size_t>(place.file)] + place.first;
}

int64_t BlockTable::rows_of(int64_t block) const {
  const Place place = place_of(block);
  const auto file = static_cast<size_t>(place.file);
  return std::min(block_rows_, file_starts_[file + 1] - file_starts_[file] - place.first);
}

BlockTable::Row BlockTable::find(int64_t row) const {
  const auto file = static_cast<size_t>(interval_of(file_starts_, row));
  const int64_t in_file = row - file_starts_[file];
  const int64_t block = in_file / block_rows_;
  return {first_blocks_[file] + block, in_file - block * block_rows_};
}

}  // namespace levin
