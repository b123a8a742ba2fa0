#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/block_cache.h>
#include <levin/datamodules/block_table.h>
#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/shard_sampler.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/source_files.h>

namespace levin {

/// Options of ShardedDataset.
struct ShardedDatasetOptions {
  /// What uint8 features are multiplied by to become float32; with 0 they are handed out as uint8.
  double scale = 0.0;
  /// What targets become: classes are int64, values are float32. `automatic` decides by the type in
  /// the files: integers and booleans are classes.
  readers::TargetType target_type = readers::TargetType::automatic;
  /// Whether float64 stays float64 instead of becoming float32.
  bool keep_float64 = false;
  /// Whether blocks are read through the system's page cache, which keeps them for the next epoch.
  /// If nothing is given, they are if the files fit in half of this machine's memory.
  std::optional<bool> page_cache{};
  /// Threads that read (and, for text, parse) blocks ahead; at least 1. They start when the first
  /// block is read ahead.
  int64_t read_threads = 1;
};

/// The rows of many files as one data set that needn't fit in memory: first the rows of the first
/// file, then those of the second, and so on. StreamDataModule makes it from the names of files.
///
///     auto shards = readers::open_shards({"a.lvb", "b.lvb"}, {}, {});
///     ShardedDataset rows(std::move(shards), {.scale = 1.0 / 255.0});
///     Batch batch;
///     rows.get_batch(numbers, batch);                     // {"input": ..., "target": ...}
///
/// A batch has an entry for each column of the files. uint8 (without `scale`) and float32 stay as
/// they are, all other numbers become float32 (but see `keep_float64`); the column "target" becomes
/// int64 or float32, and int64 in the column "group" stays. With a
/// sampler made by `sampler`, blocks of rows are read ahead and batches are gathered from memory.
/// Rows asked for in any other order are read one by one, which is much slower.
///
/// All const functions may be called from any number of threads.
class ShardedDataset : public Dataset, public HasSourceFiles {
 public:
  /// `shards` come from open_shards: at least one, all of the same columns, none without rows.
  /// Reads nothing. Throws ConfigError if `read_threads` is below 1.
  explicit ShardedDataset(readers::Shards shards, ShardedDatasetOptions options = {});

  std::optional<int64_t> size() const override { return table_->rows(); }
  /// Gathers the rows into `out`, using its memory again, and waits for blocks that are still being
  /// read. Throws DataError for a row number that isn't in [0, size), a file that can't be read or
  /// was changed, text that isn't a number, NaN, infinities and numbers that float32 can't hold,
  /// and a class that isn't a whole number; the message names file and row or line.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;

  /// Makes an order that this data set reads ahead for: give it to the DataLoader of this data set.
  /// Throws ConfigError for invalid options.
  std::shared_ptr<const ShardSampler> sampler(ShardSamplerOptions options) const;
  std::vector<std::filesystem::path> source_files() const override;
  const readers::Shards& shards() const { return shards_; }
  /// The columns of a batch: uint8, float32, float64 or int64, with the shape of one row.
  const std::vector<readers::Column>& columns() const { return columns_; }
  const BlockTable& table() const { return *table_; }
  /// Says where a row of the data set comes from, for messages: "shard-3.csv, row 17". Rows are
  /// counted from 0 in each file.
  std::string origin_of(int64_t row) const;
  /// The bytes of all files together.
  uint64_t file_bytes() const;
  /// How many blocks have memory now.
  int64_t blocks_in_memory() const { return cache_->blocks_in_memory(); }

 private:
  /// How one column gets from a file to a batch.
  struct Output {
    readers::Column source;
    readers::DType dtype = readers::DType::float32;
    bool copied = false;
    bool checked = false;  // for NaN and infinity
    /// Of one row, in the batch.
    size_t values = 0;
    size_t bytes = 0;
  };
  class Gatherer;
  void put(const Output& output, const std::byte* from, int64_t row, char* to) const;
  void convert(const Output& output, const std::byte* from, int64_t row, void* to) const;

  readers::Shards shards_;
  ShardedDatasetOptions options_;
  std::vector<readers::Column> columns_;
  std::vector<Output> outputs_;
  std::shared_ptr<const BlockTable> table_;
  std::shared_ptr<BlockCache> cache_;
};

}  // namespace levin
