#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/table_file.h>

namespace levin::tables {

/// What a TableShard has of each row.
struct TableShardOptions {
  UnknownRule unknown = UnknownRule::refuse;
  /// The type of features, values and weights: float32 or float64.
  readers::DType dtype = readers::DType::float32;
  bool has_target = true;
  /// The column of the weights of rows; empty: there are none.
  std::string weights = {};
};

/// Rows of a table as a shard, so that ShardedDataset streams them: their text is made to features
/// when they are loaded, some thousand rows at a time. Columns are "input" [features], "target" []
/// (int64 if it is a class), "weight" [] and, if the table has groups, "group" [] int64.
class TableShard : public readers::Shard {
 public:
  /// `rows` must have a row. Throws DataError for a column that isn't there, and what FeatureWriter
  /// throws.
  TableShard(TableRows rows, std::shared_ptr<const FittedTable> fitted, TableShardOptions options);

  uint64_t file_bytes() const override { return table_.file().bytes(); }
  size_t row_bytes() const override;
  /// Throws DataError, with file, line and column, for cells that can't be used (see FeatureWriter,
  /// TargetReader, weight_of and GroupReader), and for a file that was changed since it was opened.
  /// `direct` is ignored.
  void load(int64_t first, int64_t count, bool direct, readers::BlockBuffer& buffer,
            std::span<readers::RowsInMemory> views) const override;
  void read_row(int64_t row, std::span<std::byte* const> out) const override;

  /// Reads all rows once, to refuse those that can't be used before they are needed. Throws what
  /// `load` throws.
  void check() const;

 private:
  template <class Use>
  void for_each_piece(int64_t first, int64_t count, const Use& use) const;
  void write(int64_t first, int64_t count, std::span<std::byte* const> out) const;

  TableRows table_;
  std::shared_ptr<const FittedTable> fitted_;
  TableShardOptions options_;
  double largest_;
  FeatureWriter features_;
  std::optional<TargetReader> targets_;
  std::optional<size_t> weights_;
  std::optional<GroupReader> groups_;
};

}  // namespace levin::tables
