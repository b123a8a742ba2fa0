#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/row_split.h>
#include <levin/datamodules/sharded_dataset.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>
#include <levin/datamodules/tables/table_file.h>
#include <levin/datamodules/tables/table_shard.h>
#include <levin/framework/data/row_keys.h>

/// How TableDataModule streams: the rows of a file are divided, looked at and made to features some
/// thousand at a time, in the same way as in memory.
namespace levin {

/// The most distinct cells of a column that a stream keeps while it looks at the training rows: 20
/// MB of short texts.
inline constexpr size_t kMostKeptCells = size_t{1} << 18;

using TableFilePointer = std::shared_ptr<const tables::TableFile>;

/// The rows of a file that are trained, validated and tested on.
struct TableSets {
  tables::TableRows train;
  tables::TableRows val;
  tables::TableRows test;
};

/// Divides the rows of a file. If they aren't shuffled, the sets are those of `split_rows`. Else
/// each row is drawn by the seed and its number alone (`RowSplit::draws_rows`), so that nothing has
/// to be kept, and the sets have nearly their shares. Throws ConfigError for shares that can't be.
TableSets divided(const TableFilePointer& file, const RowSplit& split);

/// Throws DataError if there is no row in a set that `stage` needs and that was asked for.
void require_no_empty_set(const TableSets& sets, const RowSplit& split, Stage stage);

/// Fits a table to its training rows; see tables::TableFitter.
tables::FittedTable fit_stream(const tables::TableRows& rows, const tables::TableSettings& settings,
                               std::vector<std::string>& notes);

/// The weights of rows, summed up in one pass. A row without a weight has the weight 1.
struct TableSums {
  double mean_weight = 1.0;
  /// The weights of the rows of each class; empty if targets aren't classes.
  std::vector<double> classes = {};
};
/// `weights` is the column of weights; empty: there are none.
TableSums table_sums(const tables::TableRows& rows, const tables::FittedTable& fitted,
                     const std::string& weights);

/// A data set of rows that are read and made to features by blocks.
std::shared_ptr<const ShardedDataset> stream_of(tables::TableRows rows,
                                                std::shared_ptr<const tables::FittedTable> fitted,
                                                tables::TableShardOptions options,
                                                int64_t read_threads);

/// The keys of all rows of a file, read when they are asked for.
RowKeys streamed_keys(const TableFilePointer& file, const std::string& column);

}  // namespace levin
