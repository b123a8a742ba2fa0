#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace levin {

/// Tells signals that ask to stop from later ones that insist. Signals within a second of the first
/// one belong to it: they come from a key that was hit twice, or from a shell and the system that
/// both report a closed terminal.
///
///     StopBurst burst;                                                // static
///     void on_signal(int) { if (burst.note() == StopBurst::Signal::later) ::_exit(130); }
///
/// Its functions may be called in signal handlers.
class StopBurst {
 public:
  enum class Signal { first, same, later };

  /// Notes that a signal has arrived, and returns how it counts.
  Signal note() noexcept {
    const int64_t now = nanoseconds_now();
    int64_t first = 0;
    if (first_at_.compare_exchange_strong(first, now)) return Signal::first;
    return now - first < kSecond ? Signal::same : Signal::later;
  }
  /// Makes the next signal the first one.
  void forget() noexcept { first_at_ = 0; }

 private:
  static constexpr int64_t kSecond = 1'000'000'000;  // nanoseconds

  static int64_t nanoseconds_now() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
  }

  std::atomic<int64_t> first_at_{0};  // on a clock that never goes back; 0: no signal yet
  static_assert(std::atomic<int64_t>::is_always_lock_free);  // because signal handlers use it
};

}  // namespace levin
