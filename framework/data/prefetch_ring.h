#pragma once

#include <levin/framework/data/batch_source.h>

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace levin {

/// Threads that prepare the batches of an epoch ahead of time and hand them out in order. A Reader
/// with workers owns one. The prepared batches lie in a ring of slots: batch k is in slot k modulo
/// the number of slots, so the threads are never further ahead than that number.
///
///     PrefetchRing ring(source, 2, 4);    // 2 threads, 4 slots
///     ring.start(0, *source.size());
///     ring.take(prepared);                // batch 0; then batch 1 ...
///     ring.stop();                        // before the source is changed
///     source.set_epoch(1);
///     ring.start(0, *source.size());
///
/// All calls come from one thread, the one that takes the batches.
class PrefetchRing {
 public:
  /// Starts `workers` threads, at least 1, which sleep until `start` is called. `capacity` is the
  /// number of slots, at least 1. `source` must outlive the ring. Throws std::system_error if the
  /// system has no more threads.
  PrefetchRing(const BatchSource& source, int64_t workers, int64_t capacity);
  /// Ends the threads. Waits for those that are preparing a batch.
  ~PrefetchRing();
  PrefetchRing(const PrefetchRing&) = delete;
  PrefetchRing& operator=(const PrefetchRing&) = delete;

  /// Forgets the batches prepared so far, and returns when no thread is using the source any more.
  /// Only then may the source be changed. The slots keep their tensors as buffers.
  void stop();
  /// Lets the threads prepare the batches from `first` up to `end` (not included); without an end,
  /// until the stream ends. If the ring was started before, call `stop` first.
  void start(int64_t first, int64_t end = std::numeric_limits<int64_t>::max());
  /// Swaps the next batch, in order, with `out`, whose tensors become that slot's buffers. Blocks
  /// until the batch is ready. What the data set threw is in `PreparedBatch::error`, not thrown
  /// here. Must not be called for a batch from `end` on, or after a batch that was the last of a
  /// stream (`last`, or no rows): it would wait forever.
  void take(PreparedBatch& out);

 private:
  struct Slot {
    PreparedBatch prepared;
    // Whether `prepared` is a batch to be taken; else it is only buffers.
    bool ready = false;
  };

  Slot& slot(int64_t index) { return slots_[static_cast<size_t>(index) % slots_.size()]; }
  // Whether a batch may be claimed now: the epoch has one more and its slot is free.
  bool has_work() const;
  // What each thread runs: claims a batch, prepares it without the lock, and marks it ready.
  void work();
  // Wakes all threads for the last time and joins them.
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
