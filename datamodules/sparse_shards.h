#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/block_cache.h>
#include <levin/datamodules/block_table.h>
#include <levin/datamodules/readers/sparse_lvb.h>
#include <levin/datamodules/shard_sampler.h>
#include <levin/datamodules/sparse_batch.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/source_files.h>

namespace levin {

/// The rows of sparse .lvb files as one data set that needn't fit in memory, as ShardedDataset is
/// for dense rows: with a sampler made by `sampler`, blocks of about 4 MiB are read ahead, and
/// batches are gathered from memory. Rows asked for in any other order are read one by one.
///
/// All const functions may be called from any number of threads.
class SparseShards : public Dataset, public HasSourceFiles {
 public:
  /// Opens the files. Throws DataError for one that can't be read or is damaged, for one with more
  /// than `columns` columns (0: as many as the widest file has), and if some have targets and
  /// others don't.
  SparseShards(const std::vector<std::filesystem::path>& files, int64_t columns,
               int64_t read_threads);

  /// What batches hold; all rows must be read with the same. Call it before the first batch.
  void set_classes(bool classes) { source_->layout.classes = classes; }
  /// Leaves the targets out of batches.
  void skip_targets() { source_->layout.has_target = false; }
  /// Divides all values by the deviations of their columns.
  void set_standardization(Standardization standardization);

  std::optional<int64_t> size() const override { return source_->table->rows(); }
  /// Throws DataError for a row number that isn't in [0, size), a file that can't be read or is
  /// damaged, and for a target that isn't a whole number although they are classes.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  /// Makes an order that this data set reads ahead for.
  std::shared_ptr<const ShardSampler> sampler(ShardSamplerOptions options) const;
  std::vector<std::filesystem::path> source_files() const override;

  const SparseLayout& layout() const { return source_->layout; }
  /// Reads all blocks, one after another, and calls `use` with each.
  void for_each_block(const std::function<void(const readers::SparseRows&)>& use) const;
  /// Reads the first block.
  readers::SparseRows first_block() const;

 private:
  class Finder;
  /// What the threads of the cache need, which may outlive the data set.
  struct Source {
    std::vector<std::unique_ptr<const readers::SparseLvb>> shards;
    std::shared_ptr<const BlockTable> table;
    SparseLayout layout;
    std::optional<Standardization> standardization;

    /// Reads rows of the block from its row `first` on.
    void read(int64_t block, int64_t first, int64_t count, readers::SparseRows& to) const;
    /// The same for a batch: checked and standardised.
    void load(int64_t block, int64_t first, int64_t count, readers::SparseRows& to) const;
    const std::string& name_of(int64_t block) const;
  };

  std::shared_ptr<Source> source_ = std::make_shared<Source>();
  std::shared_ptr<BlockCache> cache_;
};

}  // namespace levin
