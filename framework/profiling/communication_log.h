#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>

#include <levin/framework/profiling/communication.h>

namespace levin {

/// Takes down when each collective of a step's reduction started and ended. There is one only where
/// a profiler asks; a collective then costs two looks at the clock.
///
/// The training thread calls `begin` and `finish` around a reduction. In between, `started` comes
/// from whatever thread starts a collective, and `ended` from whatever thread finds out that it has
/// ended: Gloo's own, by a callback of the collective's Future. That is called just after those who
/// wait are woken up: what ends after `finish` isn't listened to, and counts as ended at `finish`.
/// NCCL completes its Futures when the work is queued: there, `end` is too early.
///
/// Bytes are what the algorithm sends: of a bucket a ring's share, of sparse gradients (gathered
/// from all) all of them to each other rank, of ZeRO stage 2 each rank's chunk to that rank. What
/// else ranks tell each other (buffers, metrics, parameters gathered) isn't counted.
///
/// Collectives are started by the Reducer in the order of its buckets, the last one as soon as this
/// rank's last gradient is complete: that moment is Reduction::ready.
class CommunicationLog {
 public:
  /// Which collective of which step.
  struct Ticket {
    uint64_t step = 0;
    size_t index = 0;
  };

  /// A step's reduction begins.
  void begin();
  /// A collective starts, for which this rank sends `bytes`.
  Ticket started(int64_t bytes);
  void ended(Ticket ticket);
  /// The training thread goes on. What is returned lasts until the next `begin`.
  const Reduction& finish();

  /// What a rank sends in a ring all-reduce of `bytes` among `world_size` ranks: each of the
  /// 2 (n - 1) turns sends a piece of bytes / n, rounded up. Gloo's algorithm, unless told
  /// otherwise.
  static int64_t ring_bytes(int64_t bytes, int64_t world_size) {
    return world_size > 1 ? 2 * (world_size - 1) * ((bytes + world_size - 1) / world_size) : 0;
  }

 private:
  std::mutex mutex_;
  uint64_t step_ = 0;  // changes at `finish`, too: late ends name an old one
  Reduction reduction_;
};

}  // namespace levin
