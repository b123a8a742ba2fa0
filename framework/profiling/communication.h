#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// How the gradients of one step were summed over ranks, as one of them saw it. Moments are those
/// of files::monotonic_seconds.
struct Reduction {
  struct Collective {
    double begin = 0.0;  ///< this rank started its part
    double end = 0.0;    ///< the sums were there
    int64_t bytes = 0;   ///< this rank sent
  };
  /// In the order they were started, which is the same on all ranks.
  std::vector<Collective> collectives;
  /// This rank's last gradient was complete.
  double ready = 0.0;
  /// The training thread went on.
  double end = 0.0;
};

/// What summing gradients took one rank, over the steps of a run.
struct Communication {
  /// Optimizer steps whose gradients were summed.
  int64_t steps = 0;
  /// Sent by this rank, reckoned from the algorithm, without headers: of a ring all-reduce of n
  /// ranks, 2 (n - 1) / n of the gradients. Received: as many.
  int64_t bytes = 0;
  /// While any collective was under way: the union of their times, other ranks' delays included.
  double seconds = 0.0;
  /// Of `seconds`, before this rank's last gradient was complete: hidden behind backward.
  double hidden = 0.0;
  /// The training thread stood still: from its last gradient until the sums were back in place.
  double waiting = 0.0;
  /// Of `waiting`, for ranks that were slower; see `tell_slower_apart`. 0 before that.
  double for_slower = 0.0;
  /// The waiting of every `stride`-th step, at most kMaxWaits of them: all ranks have the same.
  std::vector<float> waits;
  int64_t stride = 1;

  static constexpr size_t kMaxWaits = 4096;

  void add(const Reduction& step);
  /// Of the time under way, the percentage hidden behind backward; 0 where there was none.
  double overlap_percent() const { return seconds > 0 ? 100 * hidden / seconds : 0.0; }
  double mib() const { return static_cast<double>(bytes) / (1 << 20); }
};

/// Sets `for_slower` of all ranks. In each step the rank whose gradients came last waits only for
/// the transfer; what another one waited longer than it, it waited for slower ranks. Needs no
/// common clock; where `stride` > 1, the share in the steps that were kept is taken for all.
void tell_slower_apart(std::vector<Communication>& ranks);

}  // namespace levin
