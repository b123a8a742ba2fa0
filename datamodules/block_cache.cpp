#include <levin/datamodules/block_cache.h>

#include <system_error>
#include <utility>

namespace levin {

BlockCache::Hold& BlockCache::Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  release();
  cache_ = std::move(other.cache_);
  blocks_ = std::move(other.blocks_);
  return *this;
}

void BlockCache::Hold::release() {
  if (cache_) cache_->drop(blocks_);
  cache_.reset();
}

BlockCache::BlockCache(ReadBlock read, int64_t threads)
    : read_block_(std::move(read)), thread_count_(threads) {}

BlockCache::BlockCache(readers::Shards shards, std::shared_ptr<const BlockTable> table, bool direct,
                       int64_t threads)
    : BlockCache(
          [shards = std::move(shards), table = std::move(table), direct](int64_t block, Block& to) {
            const auto place = table->place_of(block);
            const auto& shard = *shards[static_cast<size_t>(place.file)];
            to.columns.resize(shard.columns().size());
            shard.load(place.first, table->rows_of(block), direct, to.buffer, to.columns);
          },
          threads) {}

BlockCache::~BlockCache() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  wanted_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void BlockCache::start_threads() {
  while (static_cast<int64_t>(threads_.size()) < thread_count_) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;
      return;  // fewer threads will do
    }
  }
}

BlockCache::Hold BlockCache::hold(std::vector<int64_t> blocks) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    start_threads();
    for (const int64_t block : blocks) {
      Entry& entry = entries_[block];
      if (++entry.holds > 1 && !entry.error) continue;
      entry.error = nullptr;
      entry.queued = true;
      queue_.push_back(block);
    }
  }
  wanted_.notify_all();
  return Hold(shared_from_this(), std::move(blocks));
}

void BlockCache::drop(const std::vector<int64_t>& blocks) {
  std::vector<BlockPointer> released;  // destroyed after the lock is released
  const std::lock_guard<std::mutex> lock(mutex_);
  bool unread = false;
  for (const int64_t block : blocks) {
    const auto entry = entries_.find(block);
    if (--entry->second.holds > 0) continue;
    unread = unread || !entry->second.block;
    released.push_back(std::move(entry->second.block));
    entries_.erase(entry);
  }
  if (unread) read_.notify_all();  // `find` returns null for them
}

BlockCache::BlockPointer BlockCache::find(int64_t block) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const auto entry = entries_.find(block);
    if (entry == entries_.end()) return nullptr;
    if (entry->second.error) std::rethrow_exception(entry->second.error);
    if (entry->second.block) return entry->second.block;
    read_.wait(lock);
  }
}

int64_t BlockCache::blocks_in_memory() const {
  const std::lock_guard<std::mutex> lock(spares_->mutex);
  return spares_->made;
}

void BlockCache::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (closing_) return;
    const int64_t block = queue_.front();
    queue_.pop_front();
    auto entry = entries_.find(block);
    if (entry == entries_.end() || !entry->second.queued) continue;  // dropped, or queued twice
    entry->second.queued = false;
    lock.unlock();
    BlockPointer result;
    std::exception_ptr error;
    try {
      result = read(block);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    entry = entries_.find(block);
    if (entry != entries_.end() && !entry->second.block) {
      entry->second.block = std::move(result);
      entry->second.error = entry->second.block ? nullptr : error;
      if (entry->second.block) entry->second.queued = false;
    }
    read_.notify_all();
  }
}

BlockCache::BlockPointer BlockCache::read(int64_t block) const {
  const std::shared_ptr<Spares> spares = spares_;
  std::unique_ptr<Block> read;
  {
    const std::lock_guard<std::mutex> lock(spares->mutex);
    if (!spares->blocks.empty()) {
      read = std::move(spares->blocks.back());
      spares->blocks.pop_back();
    } else {
      ++spares->made;
    }
  }
  if (!read) read = std::make_unique<Block>();
  try {
    read_block_(block, *read);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(spares->mutex);
    spares->blocks.push_back(std::move(read));
    throw;
  }
  return {read.release(), [spares](Block* done) {
            const std::lock_guard<std::mutex> lock(spares->mutex);
            spares->blocks.emplace_back(done);
          }};
}

}  // namespace levin
