#pragma once

#include <cstdint>
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

namespace levin {

struct ShardedDatasetOptions {
  /// What a byte of a feature is multiplied by; 0: bytes are handed out as bytes.
  double scale = 0.0;
  /// What targets become: integers classes, int64; others values, float32.
  readers::TargetType target_type = readers::TargetType::automatic;
  /// Whether blocks are read through the system's page cache, which keeps them for the next epoch.
  /// Nothing: where the files fit in half of this machine's memory.
  std::optional<bool> page_cache{};
  /// Threads that read (and, for text, parse) ahead.
  int64_t read_threads = 1;
};

/// The rows of many files as one data set: the rows of the first, then those of the second ...
///
/// Columns keep bytes and float32 as they are, other numbers become float32; what is called
/// "target" int64 or float32. With a sampler made by `sampler`, blocks of rows are read ahead and
/// batches gathered from memory; rows asked for in any other order are read one by one.
class ShardedDataset : public Dataset {
 public:
  /// `shards` as open_shards gives them: at least one, of the same columns, none without rows.
  /// Throws ConfigError for options that can't be.
  explicit ShardedDataset(readers::Shards shards, ShardedDatasetOptions options = {});

  std::optional<int64_t> size() const override { return table_->rows(); }
  /// Throws DataError for a file that can't be read, text that is no number, NaN and infinities,
  /// and a class that is no whole number.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;

  /// An order that this data set reads ahead for.
  std::shared_ptr<const ShardSampler> sampler(ShardSamplerOptions options) const;
  const readers::Shards& shards() const { return shards_; }
  /// What a row of a batch holds: uint8, float32 and int64.
  const std::vector<readers::Column>& columns() const { return columns_; }
  const BlockTable& table() const { return *table_; }
  /// "shard-3.csv, row 17" (from 0): where a row of the data set comes from.
  std::string origin_of(int64_t row) const;
  /// Bytes of all files.
  uint64_t file_bytes() const;

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
