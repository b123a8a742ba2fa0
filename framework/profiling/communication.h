#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// How the gradients of one step were summed over ranks, as one rank saw it. All moments are those
/// of files::monotonic_seconds.
struct Reduction {
  struct Collective {
    double begin = 0.0;  ///< the moment at which this rank started its part
    double end = 0.0;    ///< the moment at which the sums were there
    int64_t bytes = 0;   ///< what this rank sent
  };
  /// In the order in which they were started, which is the same on all ranks.
  std::vector<Collective> collectives;
  /// The moment at which this rank's last gradient was complete.
  double ready = 0.0;
  /// The moment at which the training thread went on.
  double end = 0.0;
};

/// What it took one rank to sum gradients with the others, over all steps of a run. Times are in
/// seconds.
struct Communication {
  /// How many optimizer steps had their gradients summed.
  int64_t steps = 0;
  /// The bytes that this rank sent. They are computed from the algorithm, without headers: in a
  /// ring all-reduce of n ranks, 2 (n - 1) / n of the bytes of the gradients.
  int64_t bytes = 0;
  /// The time during which any collective was under way, delays of other ranks included.
  double seconds = 0.0;
  /// The part of `seconds` that was hidden behind backward: before this rank's last gradient was
  /// complete.
  double hidden = 0.0;
  /// The time during which the training thread stood still: from this rank's last gradient until
  /// the sums were back in place.
  double waiting = 0.0;
  /// The part of `waiting` that was spent on slower ranks; 0 until `tell_slower_apart` sets it.
  double for_slower = 0.0;
  /// The waiting in every `stride`-th step, for at most kMaxWaits steps; the same steps on all
  /// ranks.
  std::vector<float> waits;
  int64_t stride = 1;

  static constexpr size_t kMaxWaits = 4096;

  /// Adds one more step.
  void add(const Reduction& step);
  /// The percentage of `seconds` that was hidden behind backward; 0 if nothing was sent.
  double overlap_percent() const { return seconds > 0 ? 100 * hidden / seconds : 0.0; }
  double mib() const { return static_cast<double>(bytes) / (1 << 20); }
};

/// Sets `for_slower` of all ranks. In each step, the rank whose gradients came last waits for the
/// transfer alone. The time by which another rank waits longer than that rank is time spent on
/// slower ranks. This needs no common clock. If `stride` > 1, the share in the steps that were kept
/// stands for all steps.
void tell_slower_apart(std::vector<Communication>& ranks);

}  // namespace levin
