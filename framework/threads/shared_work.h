#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include <c10/util/FunctionRef.h>

namespace levin {

/// Calls `work(part)` once for each part from 0 to parts - 1, on the calling thread and on its
/// HelperThreads, and returns when all calls have returned. Without helpers the calling thread
/// makes all calls, in order.
///
///     share_out(parts, [&](int64_t part) { sum_rows(rows.narrow(...), sums[part]); });
///
/// The calling thread never waits for a helper that hasn't begun, so the work is done in time even
/// if no helper gets a core. Let the number of parts follow from the size of the work alone: then
/// the results have the same bits for any number of threads. A part should take at least 20 us;
/// waking a helper takes about as long.
///
/// In `work`, LibTorch's operations run on one thread. On helpers, no graph is recorded. What
/// `work` throws first is thrown again once the other calls that have begun have returned; the rest
/// isn't called. A call of share_out within `work` makes all its calls itself.
void share_out(int64_t parts, c10::function_ref<void(int64_t)> work);

/// Whether the calling thread is within the work of `share_out`.
bool is_sharing_out();

/// Threads that help the thread that made this object in `share_out`. They run in a loop for up to
/// 0.2 ms after some work, since the next work often comes soon, and then sleep. If other programs
/// take the cores from them, so that the calling thread has to wait, they are left asleep for a
/// while: 60 ms at first, and up to 4 s if it happens again soon after that.
///
/// Objects may be nested; the innermost one helps. Must be destroyed on the thread that made it.
class HelperThreads {
 public:
  /// Starts `count` threads; 0 makes the calling thread do its work alone.
  explicit HelperThreads(int count);
  ~HelperThreads();
  HelperThreads(const HelperThreads&) = delete;
  HelperThreads& operator=(const HelperThreads&) = delete;

  int count() const { return static_cast<int>(threads_.size()); }
  /// Whether they take part in work that begins now; false while they are left asleep.
  bool are_free() const;

 private:
  friend void share_out(int64_t parts, c10::function_ref<void(int64_t)> work);
  using Work = c10::function_ref<void(int64_t)>;

  void run(int64_t parts, Work work);
  void help();
  int64_t take_parts();
  void wait_for_helpers(double started, int64_t own_parts);

  HelperThreads* before_;  // of this thread
  // The work in progress. Helpers read it only while they are counted in `active_` and `open_` is
  // the number of the work that they saw.
  const Work* work_ = nullptr;
  int64_t parts_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> has_failed_{false};
  std::atomic<int64_t> next_{0};
  std::atomic<uint32_t> announced_{0};  // the number of the newest work
  std::atomic<uint32_t> open_{0};       // the same while its parts may be taken; otherwise 0
  std::atomic<int> active_{0};          // helpers that may be at work
  std::atomic<int> asleep_{0};
  std::atomic<bool> is_over_{false};
  // When helpers were too late; in seconds of the steady clock.
  double pause_ = 0.0;
  double paused_until_ = 0.0;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace levin
