#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include <levin/datamodules/block_cache.h>
#include <levin/datamodules/block_table.h>
#include <levin/framework/data/sampler.h>

namespace levin {

/// Options of ShardSampler.
struct ShardSamplerOptions {
  /// Whether to shuffle; if not, rows come in their order, file after file.
  bool shuffle = true;
  /// The number of rows that are mixed at a time, rounded up to whole blocks; 0 takes as many as
  /// 128 MiB hold. More rows mix better and take more memory.
  int64_t shuffle_rows = 0;
  /// The seed of the order. Nothing stands for `global_seed()` at the time the sampler or its clone
  /// is made; loaders make a clone when they are opened.
  std::optional<uint64_t> seed{};
};

/// A seeded random order for data on disk, which can't be read in any order at the same speed. An
/// epoch visits the blocks of a BlockTable in random order. Consecutive blocks with at least
/// `shuffle_rows` rows together form a window, within which all rows are shuffled. Every row comes
/// once in an epoch. ShardedDataset::sampler makes samplers that read ahead:
///
///     auto data = std::make_shared<ShardedDataset>(std::move(shards));
///     DataLoader loader(data, {.batch_size = 512, .sampler = data->sampler({.shuffle = true})});
///
/// The order depends only on the seed, the epoch, the options and the table, not on the numbers of
/// workers or ranks. Any position is found without going through those before it. Memory is 8 bytes
/// a block, 16 a window, and 8 a row of the windows that are kept.
///
/// With a cache, the sampler holds the blocks of the window in use, those of the next one, which
/// are read ahead, and those of the one before for workers that are late. If an epoch has at most
/// two windows, they are read once and stay in memory over epochs.
class ShardSampler : public Sampler {
 public:
  /// The size of a window if `shuffle_rows` is 0.
  static constexpr int64_t kWindowBytes = int64_t{128} << 20;
  /// `cache` must be one for the blocks of `table`; without a cache nothing is read ahead. Throws
  /// ConfigError if `shuffle_rows` is negative.
  ShardSampler(std::shared_ptr<const BlockTable> table, ShardSamplerOptions options,
               std::shared_ptr<BlockCache> cache = nullptr);

  int64_t size() const override { return table_->rows(); }
  /// Goes to the start of an epoch; must be called before `rows`, and not at the same time as it.
  void set_epoch(int64_t epoch) override;
  /// Writes the rows at positions first, first + 1, ... into `out`. The positions must be in [0,
  /// size()). The first position in a new window makes that window: its blocks and those of the
  /// next one are queued to be read, without waiting for them. Positions before the window in use
  /// are found too, but their blocks aren't read ahead. Thread-safe.
  void rows(int64_t first, std::span<int64_t> out) const override;
  /// A sampler of the same table, options and cache, without an epoch. If the options have no seed,
  /// the clone takes the `global_seed()` of now. It holds no blocks yet.
  std::unique_ptr<Sampler> clone() const override;
  /// The least number of rows in a window; only the last window of an epoch may have fewer.
  int64_t window_rows() const { return window_rows_; }

 private:
  /// Where a window starts: its first position, and the index of its first block in `order_`.
  struct Start {
    int64_t position = 0;
    size_t block = 0;
  };
  /// A window that is kept: its rows in the order of the epoch, and the hold on its blocks, if any.
  struct Window {
    int64_t index = -1;
    std::vector<int64_t> rows;
    BlockCache::Hold hold;
  };
  /// The blocks of a window, in the order of the epoch.
  std::vector<int64_t> blocks_of(int64_t window) const;
  /// Makes a window's order, and queues its blocks to be read if `hold` is true.
  std::unique_ptr<Window> make_window(int64_t index, bool hold) const;
  /// The window if it is kept, else null.
  const Window* find(int64_t index) const;
  /// The window, made first if it isn't kept.
  const Window& window(int64_t index) const;
  /// Makes `index` the window in use: drops those before the one before it and makes the next one.
  void advance(int64_t index) const;

  std::shared_ptr<const BlockTable> table_;
  ShardSamplerOptions options_;
  std::shared_ptr<BlockCache> cache_;
  int64_t window_rows_ = 1;
  uint64_t seed_ = 0;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;  // of the blocks
  std::vector<Start> starts_;   // of each window, and the end
  mutable std::mutex mutex_;    // guards what follows
  mutable int64_t newest_ = -1;
  mutable std::vector<std::unique_ptr<Window>> windows_;
  mutable std::vector<BlockCache::Hold> previous_;  // of the last epoch, until a window is made
};

}  // namespace levin
