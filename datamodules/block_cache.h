#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include <levin/datamodules/block_table.h>
#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/sparse_rows.h>

namespace levin {

/// Reads blocks of rows ahead of their use, on threads of its own, and keeps them in memory as long
/// as somebody holds them. ShardSampler holds the blocks that are due soon; ShardedDataset finds
/// rows in them:
///
///     auto cache = std::make_shared<BlockCache>(shards, table, /*direct=*/false, /*threads=*/2);
///     BlockCache::Hold hold = cache->hold({7, 3, 12});   // reading starts; returns at once
///     const auto block = cache->find(7);                 // waits until block 7 is read
///     const std::byte* row = block->columns[0].data + 5 * block->columns[0].stride;
///
/// Memory is used again for other blocks and given back to the system only when the cache is
/// destroyed, so that it is as much as the blocks took that were in memory at the same time. All
/// functions may be called from any thread. The cache must be owned by a shared_ptr.
class BlockCache : public std::enable_shared_from_this<BlockCache> {
 public:
  /// A block in memory. It is never changed once it is read, and stays valid as long as its pointer
  /// is kept, even if nobody holds it any more.
  struct Block {
    /// The memory that a block of dense rows was read into.
    readers::BlockBuffer buffer;
    /// Where the rows of each column lie, counted from the block's first row.
    std::vector<readers::RowsInMemory> columns;
    /// The rows, if they are sparse.
    readers::SparseRows sparse;
  };
  /// Reads a block into `to`, whose memory is that of an earlier block, to be used again. Called
  /// from the threads of the cache.
  using ReadBlock = std::function<void(int64_t block, Block& to)>;
  using BlockPointer = std::shared_ptr<const Block>;

  /// Keeps blocks in memory as long as it lives, and the cache too. Move-only. Several holds may
  /// keep the same block, which is read once.
  class Hold {
   public:
    Hold() = default;
    /// A hold that was moved from keeps nothing.
    Hold(Hold&& other) noexcept = default;
    /// Releases what this hold kept, then takes over what `other` keeps.
    Hold& operator=(Hold&& other) noexcept;
    /// Releases the blocks. Those that nobody else holds leave the cache; if they weren't read yet,
    /// they are not read any more, unless a thread is reading them now.
    ~Hold() { release(); }

   private:
    friend class BlockCache;
    Hold(std::shared_ptr<BlockCache> cache, std::vector<int64_t> blocks)
        : cache_(std::move(cache)), blocks_(std::move(blocks)) {}
    void release();
    /// Null if this keeps nothing.
    std::shared_ptr<BlockCache> cache_;
    std::vector<int64_t> blocks_;
  };

  /// Blocks are read by `read`, `threads` of them at the same time.
  BlockCache(ReadBlock read, int64_t threads);
  /// `table` divides the rows of `shards` into blocks. `direct` reads past the system's page cache.
  /// `threads`, at least 1, is how many blocks are read at the same time; the threads start with
  /// the first call of `hold`.
  BlockCache(readers::Shards shards, std::shared_ptr<const BlockTable> table, bool direct,
             int64_t threads);
  /// Waits for the reads in progress.
  ~BlockCache();
  /// Holds and threads refer to the cache, so it can be neither copied nor moved.
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// Queues `blocks` to be read, in that order, behind those of earlier calls, and returns at once.
  /// A block that could not be read for an earlier hold is tried again. Throws std::system_error if
  /// no thread can be started.
  Hold hold(std::vector<int64_t> blocks);
  /// Returns a block that somebody holds, and waits until it is read. Returns null at once if
  /// nobody holds it, and as soon as nobody does so any more. Rethrows the exception that reading
  /// it threw.
  BlockPointer find(int64_t block);
  /// How many blocks have memory: those that are read, and those that wait to be used again.
  int64_t blocks_in_memory() const;

 private:
  /// A block that somebody holds: it is queued, being read, read (`block`), or couldn't be read
  /// (`error`).
  struct Entry {
    /// How many holds keep it.
    int64_t holds = 0;
    /// Whether it waits in `queue_` for a thread.
    bool queued = true;
    BlockPointer block;
    std::exception_ptr error;
  };
  /// Blocks that wait to be used again. A block comes here when its last pointer is gone, which may
  /// be after the cache.
  struct Spares {
    std::mutex mutex;
    std::vector<std::unique_ptr<Block>> blocks;
    int64_t made = 0;  // in all; none of them is destroyed before the cache
  };
  /// Starts the threads that aren't running yet; goes on with fewer if the system allows no more.
  void start_threads();
  /// Gives up one hold on each of `blocks`.
  void drop(const std::vector<int64_t>& blocks);
  /// What each thread does: reads the blocks of `queue_` in order until the cache is destroyed.
  void work();
  /// Reads one block into a spare or a new one. Throws what `read_block_` throws.
  BlockPointer read(int64_t block) const;

  ReadBlock read_block_;
  /// How many threads to start.
  int64_t thread_count_;
  /// Shared with the blocks, which may outlive the cache.
  std::shared_ptr<Spares> spares_ = std::make_shared<Spares>();
  std::mutex mutex_;  // guards what follows
  std::condition_variable wanted_;
  std::condition_variable read_;
  std::unordered_map<int64_t, Entry> entries_;
  /// The blocks that wait to be read, the next one first.
  std::deque<int64_t> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace levin
