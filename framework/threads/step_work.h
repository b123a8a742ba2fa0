#pragma once

#include <cstdint>
#include <memory>

namespace levin {

/// Counts the work of LibTorch's operations that the calling thread runs while an object of this
/// class exists, and estimates how long it takes on several threads. What is counted are numbers of
/// operations and sizes of tensors, not times, so the same step always gives the same estimate.
///
/// Operations within `share_out` aren't counted: they never use LibTorch's threads.
///
///     const StepWork work;
///     step();
///     if (work.seconds(2) < 0.75 * work.seconds(1)) ...
///
/// Only one object may exist on a thread at a time.
class StepWork {
 public:
  StepWork();
  ~StepWork();
  StepWork(const StepWork&) = delete;
  StepWork& operator=(const StepWork&) = delete;

  /// Returns the estimated time of all that was counted, in seconds, if each operation that is
  /// large enough is shared by `threads` threads. The estimate is that of a usual core (50 GFLOP/s
  /// in matrix products and convolutions, a nanosecond for each element otherwise), with 30 us to
  /// share an operation among threads that sleep.
  double seconds(int threads) const;

  /// Returns the floating-point operations of the matrix products and convolutions that were
  /// counted; others don't count.
  double flops() const;

  // Both are defined in the source.
  struct Operation;
  struct Counts;

 private:
  std::unique_ptr<Counts> counts_;
  uint64_t handle_ = 0;  // of the callback that LibTorch calls for each operation
};

}  // namespace levin
