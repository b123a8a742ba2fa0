#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>

#include <levin/framework/profiling/communication.h>

namespace levin {

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
/// rank. Whatever else ranks exchange (buffers, metrics, gathered parameters) isn't counted.
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

}  // namespace levin
