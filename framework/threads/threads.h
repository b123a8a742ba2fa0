#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/threads/crowd_watch.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/framework/threads/short_waits.h>
#include <levin/framework/threads/step_work.h>

namespace levin {

/// How threads share the work of a run.
struct ThreadSetting {
  /// How many threads share one of LibTorch's operations; 0: not known yet.
  int threads = 1;
  /// Whether threads that wait go to sleep soon, as ShortWaits describes. If false, they wait as
  /// LibTorch's OpenMP lets them.
  bool short_waits = false;
  /// How many threads share what `share_out` does; 0: as many as `threads`.
  int sharing = 0;
  bool operator==(const ThreadSetting&) const = default;
};

/// Sets LibTorch's threads, which are those of the whole process, and gives the calling thread its
/// HelperThreads. When it is destroyed, it puts back the number of threads that was in force
/// before.
///
///     ThreadScope threads;
///     threads.set({.threads = 2, .short_waits = true});
class ThreadScope {
 public:
  ThreadScope();
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

  /// Puts `setting`, of at least one thread, into force until the next call or the end of the
  /// scope.
  void set(ThreadSetting setting);
  /// What is in force now.
  ThreadSetting setting() const;
  /// The number of LibTorch's threads before this object was made: the most that a run uses unless
  /// the user asks for more.
  int most() const { return before_; }

 private:
  int before_;
  std::unique_ptr<ShortWaits> short_waits_;
  std::unique_ptr<HelperThreads> helpers_;
};

/// The thread setting of a run for which the user has set nothing. It follows from the work of the
/// first step alone, so it is the same in each run of a program: LibTorch's operations are shared
/// by all of its threads if the step's operations are so large that this pays, as StepWork finds
/// out, and otherwise run on one thread. `share_out` may use all threads in either case, as it
/// decides for each piece of work. Threads that wait sleep.
///
///     DefaultThreads threads(scope);
///     threads.begin();
///     while (...) threads.run(step);
class DefaultThreads {
 public:
  /// Sets the threads through `scope`, which must outlive this object.
  explicit DefaultThreads(ThreadScope& scope) : scope_(scope) {}

  /// Puts all threads into force, until `run` has seen a step or `take` was called.
  void begin();
  /// Takes over the number of LibTorch's threads from an earlier run, instead of that.
  void take(int threads);
  /// The number of LibTorch's threads that was found or taken; 0 before that.
  int threads() const { return threads_; }

  /// Runs `step` and returns its result. After the first step since `begin`, puts into force what
  /// follows from its work.
  template <class Step>
  auto run(Step&& step) {
    std::optional<FirstStep> first;
    if (is_open_) first.emplace(*this);
    return step();
  }

 private:
  struct FirstStep {
    explicit FirstStep(DefaultThreads& own) : threads(own) {}
    ~FirstStep() { threads.decide(work); }
    FirstStep(const FirstStep&) = delete;
    FirstStep& operator=(const FirstStep&) = delete;
    DefaultThreads& threads;
    StepWork work;
  };
  void decide(const StepWork& work);

  ThreadScope& scope_;
  bool is_open_ = false;
  int threads_ = 0;
};

/// Returns the number that `TrainerOptions::threads` gives; 0 if the option is empty or "auto".
int fixed_threads(const CountOrName& threads);
/// Whether `TrainerOptions::threads` is empty.
bool wants_default_threads(const CountOrName& threads);
/// Whether `TrainerOptions::threads` is "auto".
bool wants_thread_trial(const CountOrName& threads);

/// The thread setting of a training with `threads = "auto"`: found by timing steps before training
/// begins, or taken over from an earlier run, and revised if the machine becomes busy later.
///
///     AutoThreads threads(scope);
///     if (AutoThreads::has_choice()) threads.find(step, steps_left);
///     threads.apply();
///     while (...) threads.watch(step);
class AutoThreads {
 public:
  /// Sets the threads through `scope`, which must outlive this object.
  explicit AutoThreads(ThreadScope& scope) : scope_(scope) {}

  /// Whether LibTorch has more than one thread, so that there is something to find out.
  static bool has_choice();

  /// Finds the fastest setting by calling `step` with 1, 2, 4 ... threads, up to as many as
  /// LibTorch has, each number with short waits and without. More threads are taken only if they
  /// are clearly faster. Settings whose threads keep their cores busy while they wait are left out
  /// if other programs use the cores.
  ///
  /// Takes about 5 % of the time that `steps_left` steps need (infinity if their number isn't
  /// known), and at most 0.3 s unless steps are slower than that. `step` must do the same work each
  /// time; what it throws passes through. Returns what was measured: "1 thread: 104.2 us, 2
  /// threads: 131.0 us". `apply` has to follow.
  std::string find(const std::function<void()>& step, double steps_left);
  /// Takes over the number of threads of an earlier run, instead of `find`. With the same number,
  /// sums are added up in the same order and have the same bits. How threads wait changes no
  /// results; several threads get short waits, which suit a busy machine as well as an idle one.
  void take(int threads);
  /// Puts the setting into force. If none was found or taken, that is LibTorch's own number of
  /// threads.
  void apply();

  /// The setting that was found, taken or applied; 0 threads before that.
  ThreadSetting setting() const { return setting_; }

  /// Runs `step`, which must return a value, and returns that. If the setting lets threads keep
  /// their cores while they wait, this also measures how long the step took, and makes the waits
  /// short once other programs want the cores. That changes no results, so it may happen after any
  /// step.
  template <class Step>
  auto watch(Step&& step) {
    if (!crowd_.is_watching()) return step();
    const double started = now();
    auto result = step();
    note_step(now() - started);
    return result;
  }

 private:
  static double now();
  void note_step(double seconds);

  ThreadScope& scope_;
  ThreadSetting setting_{.threads = 0};
  CrowdWatch crowd_;
};

}  // namespace levin
