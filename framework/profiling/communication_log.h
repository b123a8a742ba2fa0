#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include <levin/framework/profiling/communication.h>
#include <levin/framework/profiling/exchanges.h>

namespace levin {

class Profiler;

/// Records when each collective of a step's reduction started and ended. A strategy has one only if
/// a profiler asks for it; each collective then costs two readings of the clock.
///
///     log.begin();                                  // by the training thread
///     const auto ticket = log.started(bytes);       // by the thread that starts a collective
///     log.ended(ticket);                            // by the thread that learns of its end
///     const Reduction& reduction = log.finish();    // by the training thread
///
/// With Gloo, `ended` comes from a thread of Gloo's, by a callback of the collective's Future. The
/// callback runs just after the training thread was woken up, so it may come after `finish`; it is
/// then ignored, and the collective counts as ended at `finish`. NCCL completes its Futures when
/// the work is queued, so that `end` is too early there.
///
/// Bytes are those that the algorithm sends: for a bucket, a ring's share; for sparse gradients,
/// which are gathered, all of them to each other rank; in ZeRO stage 2, each rank's chunk to that
/// rank. Whatever else ranks exchange (buffers, metrics, gathered parameters) goes to ExchangeLog.
///
/// The Reducer starts collectives in the order of its buckets, and the last one as soon as this
/// rank's last gradient is complete: that moment is Reduction::ready.
class CommunicationLog {
 public:
  /// Says which collective of which step is meant.
  struct Ticket {
    uint64_t step = 0;
    size_t index = 0;
  };

  /// The reduction of a step begins.
  void begin();
  /// A collective starts; this rank sends `bytes` in it.
  Ticket started(int64_t bytes);
  /// The collective has ended.
  void ended(Ticket ticket);
  /// The reduction is over, and the training thread goes on. The result is valid until the next
  /// `begin`.
  const Reduction& finish();

  /// What a rank sends in a ring all-reduce of `bytes` among n = `world_size` ranks, Gloo's usual
  /// algorithm: in each of 2 (n - 1) turns a piece of bytes / n, rounded up.
  static int64_t ring_bytes(int64_t bytes, int64_t world_size) {
    return world_size > 1 ? 2 * (world_size - 1) * ((bytes + world_size - 1) / world_size) : 0;
  }

 private:
  std::mutex mutex_;
  uint64_t step_ = 0;  // `finish` changes it, too, so that a late `ended` names an old step
  Reduction reduction_;
};

/// Tells a profiler of each Exchange. A process group has one, which it shares with the groups that
/// are made from it. Without a profiler it only counts bytes.
///
///     log.report_to(&profiler);                                  // by the thread that trains
///     log.record(ExchangeKind::metrics, bytes, [&] { return group.all_gather(numbers); });
///
/// A profiler may only be called by the thread that the run is on. What another thread records,
/// such as one of autograd's, is passed on with the next exchange of that thread.
class ExchangeLog {
 public:
  /// Sets the profiler, which must live until the next call; null: nothing is recorded. The calling
  /// thread is the one that the run is on.
  void report_to(Profiler* profiler);
  bool is_on() const { return profiler_.load(std::memory_order_relaxed) != nullptr; }
  void add(const Exchange& exchange);
  /// Returns what `work` returns: an exchange in which this rank sends `bytes`, and for the end of
  /// which it waits.
  template <class Work>
  auto record(ExchangeKind kind, int64_t bytes, const Work& work) {
    bytes_[static_cast<size_t>(kind)].fetch_add(bytes, std::memory_order_relaxed);
    if (!is_on()) return work();
    const double begin = now();
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      add_until_now(kind, begin, bytes);
    } else {
      auto result = work();
      add_until_now(kind, begin, bytes);
      return result;
    }
  }

  /// The bytes that this rank has sent so far in exchanges of that kind, also without a profiler.
  int64_t bytes_sent(ExchangeKind kind) const {
    return bytes_[static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }

  /// What each of `world_size` ranks sends if all get the `bytes` of each other one.
  static int64_t gathered_bytes(int64_t bytes, int64_t world_size) {
    return (world_size - 1) * bytes;
  }
  /// What this rank sends if rank 0's `bytes` go to all others along a tree of messages, as Gloo
  /// sends them.
  static int64_t broadcast_bytes(int64_t bytes, int64_t rank, int64_t world_size);

 private:
  static double now();
  void add_until_now(ExchangeKind kind, double begin, int64_t bytes);

  std::atomic<Profiler*> profiler_{nullptr};
  std::array<std::atomic<int64_t>, kNumExchangeKinds> bytes_{};
  std::thread::id thread_;
  std::mutex mutex_;
  std::vector<Exchange> of_other_threads_;
};

}  // namespace levin
