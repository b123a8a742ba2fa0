#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/shard.h>

namespace levin::readers {

/// Rows of one size that lie one after another in mapped files: .lvb, .npy and IDX. Use the
/// functions below to open files; the constructor is for other formats of the same kind.
///
/// A column lies in a part at a fixed offset of each record. A .lvb file is one part with all
/// columns; features and targets in two .npy files are two parts with a column each.
class DenseShard : public Shard {
 public:
  /// A stretch of a file that holds one record for each row.
  struct Part {
    MappedFile file;
    /// Where the first record starts in the file, and the bytes from one record to the next.
    uint64_t offset = 0;
    size_t stride = 0;
  };
  /// Where a column lies: in the part with this number, `offset` bytes into each record.
  struct Place {
    size_t part = 0;
    size_t offset = 0;
  };

  /// `name` is what errors call the shard. `places` has one element for each column. Every part
  /// must hold `rows` whole records, which isn't checked here.
  DenseShard(std::string name, int64_t rows, std::vector<Column> columns, std::vector<Part> parts,
             std::vector<Place> places);

  /// Gives the numbers of a row names; before that they have none.
  void set_layout(CsvLayout layout) { layout_ = std::move(layout); }
  std::optional<CsvLayout> layout() const override { return layout_; }
  std::vector<std::filesystem::path> files() const override;
  uint64_t file_bytes() const override;
  size_t row_bytes() const override;
  /// Reads the records into `buffer`, one read for each part. Views lie in the buffer, or in the
  /// shard's own memory if the file was compressed.
  void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
            std::span<RowsInMemory> views) const override;
  /// Copies one row out of the mapping.
  void read_row(int64_t row, std::span<std::byte* const> out) const override;

 private:
  std::optional<CsvLayout> layout_;
  std::vector<Part> parts_;
  std::vector<Place> places_;
};

/// Opens a .lvb file. This and the next functions read only the headers of their files. They throw
/// DataError::corrupt for a file that is damaged or of another format, and DataError for one that
/// can't be read row by row, such as a .npy file that is column-major or in the other byte order.
std::shared_ptr<const Shard> open_lvb(MappedFile file);
/// Opens an array [rows, ...] of features and one of targets [rows, ...]; targets [rows, 1] become
/// [rows]. Throws DataError if the numbers of rows differ.
std::shared_ptr<const Shard> open_npy(MappedFile file, MappedFile targets);
/// Opens an array that holds the target in a column, [rows, columns]. `target_column` is a number
/// from 0, or from -1 for the last column backwards, and must be the first or the last one; "none"
/// opens an array [rows, ...] of features alone.
std::shared_ptr<const Shard> open_npy(MappedFile file, const std::string& target_column);
/// Opens IDX files, MNIST's format, of bytes [rows, ...]: features, and targets if `targets` isn't
/// null; what it points to is moved from. A gzipped file is unpacked into memory.
std::shared_ptr<const Shard> open_idx(MappedFile file, MappedFile* targets);

}  // namespace levin::readers
