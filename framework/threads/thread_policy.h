#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>

namespace levin {

/// Within its scope, LibTorch's threads that wait for each other soon go to sleep. Of themselves
/// GNU's OpenMP lets them turn in a loop for milliseconds first: the quickest way on cores of one's
/// own, but where other programs run too it takes the core from the very thread they wait for, and
/// a step with two threads on two busy cores was 30 times slower for it.
///
/// OMP_WAIT_POLICY=passive would say the same, but is read when the program starts. What is heeded
/// later: waits are short while there are more OpenMP threads than cores, so this keeps a team of
/// them asleep. Source: libgomp's manual, GOMP_SPINCOUNT.
class ShortWaits {
 public:
  ShortWaits();
  ~ShortWaits();
  ShortWaits(const ShortWaits&) = delete;
  ShortWaits& operator=(const ShortWaits&) = delete;

  /// Whether it would change anything: not where OMP_WAIT_POLICY or GOMP_SPINCOUNT is set, nor with
  /// another OpenMP than GNU's.
  static bool are_an_option();

 private:
  class Team;
  std::unique_ptr<Team> team_;
};

/// How LibTorch works within an operation.
struct ThreadSetting {
  int threads = 1;
  /// As with ShortWaits; else as LibTorch's OpenMP does.
  bool short_waits = false;
  bool operator==(const ThreadSetting&) const = default;
};

/// Sets LibTorch's threads, which are the whole process's, and puts them back at the end.
class ThreadScope {
 public:
  ThreadScope();
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

  void set(ThreadSetting setting);

 private:
  int before_;
  std::unique_ptr<ShortWaits> short_waits_;
};

/// The number `TrainerOptions::threads` gives; 0 where it gives none (empty, "auto").
int fixed_threads(const CountOrName& threads);
/// Whether it is "auto".
bool wants_thread_trial(const CountOrName& threads);

/// The settings worth a try: 1, 2, 4 ... and `most` threads, more than one with `short_waits`, if
/// they are an option, and without.
std::vector<ThreadSetting> thread_candidates(int most, bool short_waits);

/// How a trial is made.
struct ThreadTrialOptions {
  /// Seconds it should take at most; a step slower than that is still tried a few times.
  double seconds = 0.3;
  /// It should take at most that share of the time the run will take ...
  double share_of_run = 0.05;
  /// ... which has this many steps, as far as is known.
  double steps = std::numeric_limits<double>::infinity();
  /// By how much of its time a step must be faster for a later candidate to be taken.
  double margin = 0.05;
  /// Makes a setting the one in force.
  std::function<void(ThreadSetting)> set{};
  /// What tells the time, and how often the process lost a core to another; empty:
  /// files::monotonic_seconds and the system's count. For tests.
  std::function<double()> clock{};
  std::function<int64_t()> lost_cores{};
};

/// What a trial found.
struct ThreadTrial {
  struct Timing {
    ThreadSetting setting{};
    /// Mean of each round, in order; none where the first steps were hopeless, or none was made.
    std::vector<double> seconds_a_step{};
    bool tried = false;
    double median() const;
  };
  std::vector<Timing> timings{};

  /// The fastest by the medians; a later one than another only where it wins by `margin`.
  Timing best(double margin) const;
  /// "1: 104.2 us, 2: 131.0 us, 2 spinning: 90.1 us", medians of a step.
  std::string summary() const;
};

/// Times `step` with each setting, in rounds that take turns: a machine that is busy for a while is
/// so for all of them. A round's mean counts what the median of steps would hide: the waits for a
/// core. Stops early where rounds agree, and drops candidates that are far behind; those that would
/// keep their cores while they wait aren't tried where others want the cores. Leaves the last
/// setting tried in force. Errors of `step` pass through.
ThreadTrial time_threads(const std::vector<ThreadSetting>& candidates,
                         const std::function<void()>& step, ThreadTrialOptions options);

/// Notices that steps take several times as long as they did in the trial, for a quarter of a
/// second on end: other programs want the cores, and threads that wait by turning in a loop must
/// not be kept.
class CrowdWatch {
 public:
  /// Watches from now on; `seconds_a_step` is what a step took.
  void start(double seconds_a_step) { usual_ = seconds_a_step; }
  bool is_watching() const { return usual_ > 0.0; }
  /// One more step took that long. True where it is time to change, after which nothing is watched.
  bool is_crowded_after(double seconds);

 private:
  double usual_ = 0.0;
  double spent_ = 0.0;
  int64_t steps_ = 0;
};

}  // namespace levin
