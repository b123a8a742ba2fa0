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

/// Returns the settings to try: 1, 2, 4 ... and `most` threads. If `short_waits`, each number above
/// 1 comes twice, first with short waits and then without.
std::vector<ThreadSetting> thread_candidates(int most, bool short_waits);

/// How a trial is made. `set` must be given; the other fields have defaults.
struct ThreadTrialOptions {
  /// The most seconds that a trial takes. If single steps are slower, each is still tried a few
  /// times.
  double seconds = 0.3;
  /// The largest share of the run's time that a trial takes, though at least 0.02 s.
  double share_of_run = 0.05;
  /// The number of steps of the run; infinity if it isn't known.
  double steps = std::numeric_limits<double>::infinity();
  /// A later candidate is taken only if its step is faster than an earlier one's by this share.
  double margin = 0.05;
  /// Puts a setting into force.
  std::function<void(ThreadSetting)> set{};
  /// Returns the time in seconds; empty: files::monotonic_seconds. Tests replace it.
  std::function<double()> clock{};
  /// Returns how often the process has lost a core to another process; empty: the system's count of
  /// involuntary context switches. Tests replace it.
  std::function<int64_t()> lost_cores{};
};

/// What a trial found.
struct ThreadTrial {
  /// The times of one candidate.
  struct Timing {
    ThreadSetting setting{};
    /// The mean time of a step in each round, in order. Empty if the first steps were far too slow
    /// to go on, or if the candidate wasn't tried.
    std::vector<double> seconds_a_step{};
    bool tried = false;
    /// The median of the rounds; infinity if there are none.
    double median() const;
  };
  std::vector<Timing> timings{};

  /// The candidate with the smallest median. A later candidate beats an earlier one only if it is
  /// faster by the share `margin`.
  Timing best(double margin) const;
  /// Returns the medians as text: "1 thread: 104.2 us, 2 threads: 131.0 us, 2 threads that spin
  /// while they wait: 90.1 us".
  std::string summary() const;
};

/// Times `step` with each candidate, in the order of `thread_candidates`.
///
/// The candidates take turns in rounds, so that a machine that is busy for a while slows all of
/// them. A round counts with its mean, because a median of single steps would hide the waits for a
/// core. The trial ends early once three rounds in a row agree on the winner, and candidates that
/// are far behind drop out. Candidates whose threads keep their cores while they wait aren't tried
/// if other programs want the cores. The setting that was tried last stays in force. What `step`
/// throws passes through.
ThreadTrial time_threads(const std::vector<ThreadSetting>& candidates,
                         const std::function<void()>& step, ThreadTrialOptions options);

}  // namespace levin
