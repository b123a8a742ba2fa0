#pragma once

#include <levin/framework/data/batch_source.h>

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace levin {

/// Threads that prepare the batches of an epoch ahead and hand them out in order. Batch k lies in
/// slot k modulo the number of slots, which bounds how far ahead the threads are. Only one thread
/// may take batches.
class PrefetchRing {
 public:
  /// Starts `workers` threads; `source` outlives the ring.
  PrefetchRing(const BatchSource& source, int64_t workers, int64_t capacity);
  ~PrefetchRing();
  PrefetchRing(const PrefetchRing&) = delete;
  PrefetchRing& operator=(const PrefetchRing&) = delete;

  /// Forgets the batches prepared so far and waits until no thread is using the source.
  void stop();
  /// Prepares the batches from `first` up to `end` (not included). Call `stop` before.
  void start(int64_t first, int64_t end = std::numeric_limits<int64_t>::max());
  /// Swaps the next batch, in order, with `out`, whose tensors become that slot's buffers.
  void take(PreparedBatch& out);

 private:
  struct Slot {
    PreparedBatch prepared;
    bool ready = false;
  };

  Slot& slot(int64_t index) { return slots_[static_cast<size_t>(index) % slots_.size()]; }
  bool has_work() const;
  void work();
  void close();

  const BatchSource& source_;
  std::mutex mutex_;  // guards the members below, but not a batch while it's prepared
  std::condition_variable work_;
  std::condition_variable done_;
  std::vector<Slot> slots_;
  int64_t head_ = 0;     // the batch to be taken next
  int64_t claimed_ = 0;  // the batch to be prepared next
  int64_t end_ = 0;      // batches from here on aren't prepared
  int64_t busy_ = 0;
  int64_t idle_ = 0;
  bool waiting_ = false;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace levin
