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

struct ShardSamplerOptions {
  /// Off: the rows in their order.
  bool shuffle = true;
  /// Rows mixed at a time; 0: as many as 128 MiB hold. Rounded up to whole blocks.
  int64_t shuffle_rows = 0;
  /// Nothing: `global_seed()` when a loader is opened.
  std::optional<uint64_t> seed{};
};

/// A seeded order for data on disk, which can't be had in any order at the same speed. An epoch
/// visits the blocks in random order; the rows of consecutive ones, as many as `shuffle_rows` asks
/// for, are a window and shuffled together. Every row comes once.
///
/// The order is a function of (seed, epoch) and the table alone. Any position is found without
/// going through those before it; memory is 16 bytes a block and 8 a row of three windows. Has the
/// window in use and the next one read ahead, and the one before kept for workers that are late.
/// Two windows or fewer are read once and stay in memory over epochs.
class ShardSampler : public Sampler {
 public:
  /// What is mixed at a time where nothing else is asked for.
  static constexpr int64_t kWindowBytes = int64_t{128} << 20;
  /// Without a `cache` nothing is read ahead.
  ShardSampler(std::shared_ptr<const BlockTable> table, ShardSamplerOptions options,
               std::shared_ptr<BlockCache> cache = nullptr);

  int64_t size() const override { return table_->rows(); }
  void set_epoch(int64_t epoch) override;
  void rows(int64_t first, std::span<int64_t> out) const override;
  /// The same order from the same seed, which is settled by now; holds nothing yet.
  std::unique_ptr<Sampler> clone() const override;
  /// How many rows are mixed at a time, at least (fewer in the last window).
  int64_t window_rows() const { return window_rows_; }

 private:
  /// Where a window starts: its first position, and the place of its first block in `order_`.
  struct Start {
    int64_t position = 0;
    size_t block = 0;
  };
  struct Window {
    int64_t index = -1;
    std::vector<int64_t> rows;
    BlockCache::Hold hold;
  };
  std::vector<int64_t> blocks_of(int64_t window) const;
  std::unique_ptr<Window> make_window(int64_t index, bool hold) const;
  const Window* find(int64_t index) const;
  const Window& window(int64_t index) const;
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
  mutable std::vector<BlockCache::Hold> previous_;  // the last epoch's, until there is a window
};

}  // namespace levin
