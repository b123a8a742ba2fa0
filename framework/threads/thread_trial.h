#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <levin/framework/threads/threads.h>

// How AutoThreads (threads.h) finds the fastest setting. Only the sources and tests of this folder
// include this header.

namespace levin {

/// The settings worth a try: 1, 2, 4 ... and `most` threads. More than one thread is tried with
/// short waits first, if `short_waits`, and then without.
std::vector<ThreadSetting> thread_candidates(int most, bool short_waits);

/// How a trial is made.
struct ThreadTrialOptions {
  /// The seconds a trial takes at most. If a step alone is slower, it is still tried a few times.
  double seconds = 0.3;
  /// The share of the run's time that a trial takes at most.
  double share_of_run = 0.05;
  /// The steps of the run, as far as they are known.
  double steps = std::numeric_limits<double>::infinity();
  /// A later candidate is taken only if its step is faster than an earlier one's by this share.
  double margin = 0.05;
  /// Puts a setting into force.
  std::function<void(ThreadSetting)> set{};
  /// The time in seconds; empty: files::monotonic_seconds. For tests.
  std::function<double()> clock{};
  /// How often the process has lost a core to another one; empty: the system's count. For tests.
  std::function<int64_t()> lost_cores{};
};

/// What a trial found.
struct ThreadTrial {
  /// The times of one candidate.
  struct Timing {
    ThreadSetting setting{};
    /// The mean of each round, in order. Empty if the first steps were hopelessly slow, or if the
    /// candidate wasn't tried.
    std::vector<double> seconds_a_step{};
    bool tried = false;
    /// The median of the rounds; infinity if there are none.
    double median() const;
  };
  std::vector<Timing> timings{};

  /// The candidate with the smallest median. A later candidate beats an earlier one only if it is
  /// faster by the share `margin`.
  Timing best(double margin) const;
  /// The medians, for a person: "1: 104.2 us, 2: 131.0 us, 2 spinning: 90.1 us".
  std::string summary() const;
};

/// Times `step` with each candidate.
///
/// The candidates take turns in rounds, so that a machine that is busy for a while slows all of
/// them. A round counts with its mean, because a median of single steps would hide the waits for a
/// core. The trial ends early once three rounds in a row agree on the winner; candidates that are
/// far behind drop out. Candidates that keep their cores while they wait aren't tried if other
/// programs want the cores. The setting tried last stays in force. What `step` throws passes
/// through.
ThreadTrial time_threads(const std::vector<ThreadSetting>& candidates,
                         const std::function<void()>& step, ThreadTrialOptions options);

}  // namespace levin
