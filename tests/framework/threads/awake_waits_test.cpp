#include <levin/framework/threads/awake_waits.h>

#include <gtest/gtest.h>

#include <chrono>

namespace levin::awake_waits_test {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Stands still until a test moves it.
struct HandClock {
  using duration = nanoseconds;
  using time_point = std::chrono::time_point<HandClock, duration>;
  static time_point now() { return moment; }
  static inline time_point moment{std::chrono::seconds(100)};
};

/// Counts how often a wait looked for an event, and how often it slept.
struct Waiter {
  AwakeWaits<HandClock> waits{};
  int looks = 0;
  int sleeps = 0;

  /// Waits for an event that comes after `looks_until_event` looks, each of which takes `look`, or
  /// `asleep` after the thread has gone to sleep.
  void wait(nanoseconds asleep, int looks_until_event = 1, nanoseconds look = microseconds(1),
            bool may_stay_awake = true) {
    looks = sleeps = 0;
    waits.wait(
        may_stay_awake,
        [&] {
          HandClock::moment += look;
          return ++looks == looks_until_event;
        },
        [&] {
          HandClock::moment += asleep;
          ++sleeps;
        });
  }
};

TEST(AwakeWaits, stay_awake_after_a_short_wait_alone) {
  Waiter waiter;
  waiter.wait(milliseconds(5));
  EXPECT_EQ(waiter.looks, 0) << "nothing says that the first event comes soon";
  EXPECT_EQ(waiter.sleeps, 1);
  waiter.wait(microseconds(50));
  EXPECT_EQ(waiter.looks, 0) << "the last event took 5 ms";
  waiter.wait(milliseconds(5), 3);
  EXPECT_EQ(waiter.looks, 3);
  EXPECT_EQ(waiter.sleeps, 0);
  waiter.wait(milliseconds(5), 3);
  EXPECT_EQ(waiter.looks, 3) << "an event that came while awake came soon";
}

TEST(AwakeWaits, fall_asleep_when_nothing_comes_within_200_us) {
  Waiter waiter;
  waiter.wait(microseconds(50));
  waiter.wait(microseconds(50), 1000);
  EXPECT_EQ(waiter.looks, 200);
  EXPECT_EQ(waiter.sleeps, 1);
  EXPECT_EQ(waiter.waits.time_awake(), microseconds(200));
  waiter.wait(microseconds(50));
  EXPECT_EQ(waiter.looks, 0) << "in all, the last event took 250 us";
}

TEST(AwakeWaits, sleep_where_the_caller_says_so) {
  Waiter waiter;
  waiter.wait(microseconds(50));
  waiter.wait(microseconds(50), 1, microseconds(1), false);
  EXPECT_EQ(waiter.looks, 0);
  EXPECT_EQ(waiter.sleeps, 1);
}

/// Goes on by `step` with each reading, as it seems to a thread whose processor runs others
/// meanwhile.
struct CrowdedClock {
  using duration = nanoseconds;
  using time_point = std::chrono::time_point<CrowdedClock, duration>;
  static time_point now() { return moment += step; }
  static inline nanoseconds step{0};
  static inline time_point moment{std::chrono::seconds(100)};
};

TEST(AwakeWaits, sleep_for_250_ms_once_others_need_the_processor) {
  AwakeWaits<CrowdedClock> waits;
  int looks = 0, sleeps = 0;
  const auto wait = [&] {
    waits.wait(
        true, [&] { return ++looks < 0; }, [&] { ++sleeps; });
  };
  CrowdedClock::step = nanoseconds(0);
  wait();
  CrowdedClock::step = milliseconds(1);  // the processor was away for as long
  wait();
  EXPECT_EQ(looks, 1);
  EXPECT_EQ(sleeps, 2);
  EXPECT_LE(waits.time_awake(), milliseconds(1) + microseconds(2))
      << "the time in which others ran isn't this thread's";
  CrowdedClock::step = nanoseconds(0);
  wait();  // its sleep is short
  CrowdedClock::moment += milliseconds(200);
  wait();
  EXPECT_EQ(looks, 1) << "others may still need it";
  CrowdedClock::moment += milliseconds(60);
  CrowdedClock::step = microseconds(60);
  wait();
  EXPECT_GT(looks, 1);
}

}  // namespace levin::awake_waits_test
