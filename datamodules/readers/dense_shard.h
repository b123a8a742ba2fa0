#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/shard.h>

namespace levin::readers {

/// Rows of one size, one after another in mapped files: .lvb, .npy and IDX.
class DenseShard : public Shard {
 public:
  /// A stretch of a file that holds a record a row.
  struct Part {
    MappedFile file;
    /// Where its first record starts, and the bytes from one to the next.
    uint64_t offset = 0;
    size_t stride = 0;
  };
  /// A column lies in part `part`, `offset` bytes into each record.
  struct Place {
    size_t part = 0;
    size_t offset = 0;
  };

  /// `places`: one a column. Every part holds `rows` whole records, which the caller has checked.
  DenseShard(std::string name, int64_t rows, std::vector<Column> columns, std::vector<Part> parts,
             std::vector<Place> places);

  uint64_t file_bytes() const override;
  size_t row_bytes() const override;
  void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
            std::span<RowsInMemory> views) const override;
  void read_row(int64_t row, std::span<std::byte* const> out) const override;

 private:
  std::vector<Part> parts_;
  std::vector<Place> places_;
};

/// These throw DataError for files that aren't what they should be, or are compressed, in the other
/// byte order or column-major, which can't be read in place.
std::shared_ptr<const Shard> open_lvb(MappedFile file);
/// An array [rows, ...] and one of targets [rows, ...].
std::shared_ptr<const Shard> open_npy(MappedFile file, MappedFile targets);
/// An array of features alone where `target_column` is "none", else [rows, columns] with the target
/// in one of them (a number, from -1 for the last backwards).
std::shared_ptr<const Shard> open_npy(MappedFile file, const std::string& target_column);
/// Bytes [rows, ...], MNIST's format, with the labels of another file, if there is one.
std::shared_ptr<const Shard> open_idx(MappedFile file, MappedFile* targets);

}  // namespace levin::readers
