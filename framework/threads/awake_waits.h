#pragma once

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace levin {

/// The most connections for which a thread may stay awake. With more, events come in such a number
/// that threads which stay awake only take the processor from those that work, and the slowest
/// answers come later.
inline constexpr size_t kFewConnections = 8;

/// How a thread waits for events that often follow each other closely, such as the requests of a
/// client: if the last one came within 200 microseconds, it stays awake for the next one as long as
/// that. Waking a thread that sleeps takes about as long as a quick model's answer.
///
/// Between two looks it offers its processor to others. Once that was away for longer than 500
/// microseconds, others need it: the thread then sleeps while it waits for the next 250 ms, because
/// the system favours threads that have slept.
///
///     AwakeWaits<> waits;
///     const auto poll = [&] { return handle_what_is_there(); };
///     const auto sleep = [&] { sleep_until_something_comes_and_handle_it(); };
///     while (goes_on) waits.wait(/*may_stay_awake=*/true, poll, sleep);
///
/// One thread uses an object. `Clock` is another clock only in tests.
template <class Clock = std::chrono::steady_clock>
class AwakeWaits {
 public:
  /// Waits for an event: calls `poll`, which never sleeps, until it returns true, or else `sleep`,
  /// which returns after an event. `may_stay_awake`: whether to try the former at all.
  template <class Poll, class Sleep>
  void wait(bool may_stay_awake, Poll poll, Sleep sleep) {
    const auto begin = Clock::now();
    if (comes_soon_ && may_stay_awake && begin >= sleeps_until_ && stay_awake(begin, poll)) return;
    sleep();
    comes_soon_ = Clock::now() - begin < kShortWait;
  }

  /// About how much processor time waiting awake has taken so far.
  std::chrono::nanoseconds time_awake() const { return time_awake_; }

 private:
  using TimePoint = typename Clock::time_point;

  static constexpr auto kShortWait = std::chrono::microseconds(200);
  static constexpr auto kOthersTurn = std::chrono::microseconds(500);
  static constexpr auto kBusyMachine = std::chrono::milliseconds(250);
  /// Offering the processor takes less than this if no other thread takes it.
  static constexpr auto kOffer = std::chrono::nanoseconds(2000);

  /// Returns false if no event came soon, or others need the processor.
  template <class Poll>
  bool stay_awake(TimePoint begin, Poll& poll) {
    for (auto last = begin; last - begin < kShortWait;) {
      ::sched_yield();
      const auto now = Clock::now();
      time_awake_ += std::min<std::chrono::nanoseconds>(now - last, kOffer);
      if (now - last > kOthersTurn) sleeps_until_ = now + kBusyMachine;
      if (poll()) return true;
      last = Clock::now();
      time_awake_ += last - now;
      if (now < sleeps_until_) return false;
    }
    return false;
  }

  bool comes_soon_ = false;
  TimePoint sleeps_until_{};  // others need the processor
  std::chrono::nanoseconds time_awake_{};
};

}  // namespace levin
