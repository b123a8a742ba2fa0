#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include <levin/datamodules/block_table.h>
#include <levin/datamodules/readers/shard.h>

namespace levin {

/// Reads blocks of rows ahead of their use, on threads of its own, and keeps those that somebody
/// holds. Memory is used again, so that there is never more of it than of the blocks held at once.
class BlockCache : public std::enable_shared_from_this<BlockCache> {
 public:
  /// A block in memory; whoever has it may read it.
  struct Block {
    std::unique_ptr<readers::BlockBuffer> buffer;
    /// Where the rows of each column lie.
    std::vector<readers::RowsInMemory> columns;
  };
  using BlockPointer = std::shared_ptr<const Block>;

  /// Keeps blocks as long as it lives. Move-only.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { release(); }

   private:
    friend class BlockCache;
    Hold(std::shared_ptr<BlockCache> cache, std::vector<int64_t> blocks)
        : cache_(std::move(cache)), blocks_(std::move(blocks)) {}
    void release();
    std::shared_ptr<BlockCache> cache_;
    std::vector<int64_t> blocks_;
  };

  /// `direct`: read past the system's page cache. `threads` start when the first block is held.
  BlockCache(readers::Shards shards, std::shared_ptr<const BlockTable> table, bool direct,
             int64_t threads);
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// Has `blocks` read, in that order, after those held before; returns at once. What couldn't be
  /// read for an earlier hold is tried again.
  Hold hold(std::vector<int64_t> blocks);
  /// A block that is held, once it is read; null where nobody holds it (any more). Throws what
  /// reading it threw. Thread-safe.
  BlockPointer find(int64_t block);

 private:
  struct Entry {
    int64_t holds = 0;
    bool queued = true;
    BlockPointer block;
    std::exception_ptr error;
  };
  /// Buffers that wait to be used again; blocks give theirs back when nobody has them any more.
  struct Spares {
    std::mutex mutex;
    std::vector<std::unique_ptr<readers::BlockBuffer>> buffers;
  };
  void start_threads();
  void drop(const std::vector<int64_t>& blocks);
  void work();
  BlockPointer read(int64_t block) const;

  readers::Shards shards_;
  std::shared_ptr<const BlockTable> table_;
  bool direct_;
  int64_t thread_count_;
  std::shared_ptr<Spares> spares_ = std::make_shared<Spares>();
  std::mutex mutex_;  // guards what follows
  std::condition_variable wanted_;
  std::condition_variable read_;
  std::unordered_map<int64_t, Entry> entries_;
  std::deque<int64_t> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace levin
