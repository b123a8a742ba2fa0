#include <levin/framework/threads/threads.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <thread>

#include <ATen/Parallel.h>

#include <levin/framework/core/files.h>
#include <levin/framework/threads/one_thread.h>

namespace levin::threads_test {

TEST(ThreadScope, puts_back_the_number_of_threads) {
  const int before = at::get_num_threads();
  {
    ThreadScope scope;
    scope.set({.threads = before + 1, .short_waits = true});
    EXPECT_EQ(at::get_num_threads(), before + 1);
    EXPECT_EQ(scope.setting(), (ThreadSetting{.threads = before + 1, .short_waits = true}));
    scope.set({.threads = before + 2});
    EXPECT_EQ(scope.setting(), (ThreadSetting{.threads = before + 2}));
    EXPECT_EQ(at::get_num_threads(), before + 2);
  }
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(ThreadScope, gives_the_thread_as_many_helpers_as_shall_share_work) {
  ThreadScope scope;
  scope.set({.threads = 1, .sharing = 3});
  EXPECT_EQ(scope.setting(), (ThreadSetting{.threads = 1, .sharing = 3}));
  scope.set({.threads = 2});
  EXPECT_EQ(scope.setting(), (ThreadSetting{.threads = 2}));
  scope.set({.threads = 2, .sharing = 1});
  EXPECT_EQ(scope.setting(), (ThreadSetting{.threads = 2, .sharing = 1}));
}

TEST(OneThread, is_that_of_the_calling_thread_alone) {
  ThreadScope scope;
  scope.set({.threads = 3});
  {
    const OneThread one;
    EXPECT_EQ(at::get_num_threads(), 1);
    std::thread([] { EXPECT_EQ(at::get_num_threads(), 3); }).join();
  }
  EXPECT_EQ(at::get_num_threads(), 3);
}

TEST(ShortWaits, come_and_go_and_change_no_results) {
  const auto x = torch::rand({300, 300});
  ThreadScope scope;
  scope.set({.threads = 2});
  const auto expected = x.mm(x);
  for (int i = 0; i < 20; ++i) {
    const ShortWaits waits;
    EXPECT_TRUE(test::same_bits(x.mm(x), expected));
  }
  EXPECT_TRUE(test::same_bits(x.mm(x), expected));
}

TEST(CrowdWatch, notices_that_steps_are_slow_for_a_while_and_then_looks_away) {
  CrowdWatch watch;
  EXPECT_FALSE(watch.is_watching());
  watch.start(1e-3);
  for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(watch.is_crowded_after(3e-3));
  for (int i = 0; i < 5'000; ++i) EXPECT_FALSE(watch.is_crowded_after(i % 100 == 0 ? 0.1 : 1e-3));
  EXPECT_TRUE(watch.is_watching());
  bool crowded = false;
  int steps = 0;
  for (; !crowded && steps < 1000; ++steps) crowded = watch.is_crowded_after(0.05);
  EXPECT_TRUE(crowded);
  EXPECT_LE(steps, 16);
  EXPECT_FALSE(watch.is_watching());
}

/// A machine whose clock stands still but for what the steps take.
class Clock {
 public:
  Clock() {
    files::inject_clock([this] { return now += 1e-9; });
  }
  ~Clock() { files::inject_clock({}); }
  double now = 5.0;
};

TEST(AutoThreads, puts_the_fastest_setting_into_force_and_says_what_was_measured) {
  for (const int fastest : {1, 2}) {
    ThreadScope scope;
    scope.set({.threads = 2});
    Clock clock;
    AutoThreads threads(scope);
    ASSERT_TRUE(AutoThreads::has_choice());
    EXPECT_EQ(threads.setting().threads, 0);
    const auto step = [&] { clock.now += at::get_num_threads() == fastest ? 1e-4 : 2e-4; };
    const std::string measured = threads.find(step, /*steps_left=*/1e6);
    threads.apply();
    EXPECT_EQ(threads.setting().threads, fastest);
    EXPECT_EQ(at::get_num_threads(), fastest);
    EXPECT_NE(measured.find(fastest == 1 ? "1 thread: 100.0 us" : "1 thread: 200.0 us"),
              std::string::npos)
        << measured;
  }
}

TEST(AutoThreads, applies_a_number_taken_over_or_else_libtorchs_own) {
  ThreadScope scope;
  scope.set({.threads = 3});
  AutoThreads own(scope);
  own.apply();
  EXPECT_EQ(own.setting(), (ThreadSetting{.threads = 3}));
  AutoThreads taken(scope);
  taken.take(2);
  EXPECT_EQ(at::get_num_threads(), 3);
  taken.apply();
  EXPECT_EQ(at::get_num_threads(), 2);
  EXPECT_EQ(taken.setting(), (ThreadSetting{.threads = 2, .short_waits = true}));
}

TEST(AutoThreads, makes_waits_short_when_others_want_the_cores) {
  if (!ShortWaits::are_an_option()) GTEST_SKIP() << "how threads wait can't be changed here";
  constexpr ThreadSetting kSpinning{.threads = 2};
  constexpr double kUsual = 5.0;  // seconds: so long that no core lost to others counts as a crowd
  ThreadScope scope;
  scope.set(kSpinning);
  Clock clock;
  AutoThreads threads(scope);
  threads.find([&] { clock.now += scope.setting() == kSpinning ? kUsual : 2 * kUsual; },
               /*steps_left=*/1e6);
  threads.apply();
  ASSERT_EQ(scope.setting(), kSpinning);
  const auto watch_steps = [&](double seconds) {
    for (int i = 0; i < 20; ++i) threads.watch([&] { return clock.now += seconds; });
  };
  watch_steps(2 * kUsual);
  EXPECT_EQ(scope.setting(), kSpinning);
  watch_steps(5 * kUsual);
  EXPECT_EQ(threads.setting(), (ThreadSetting{.threads = 2, .short_waits = true}));
  EXPECT_EQ(scope.setting(), threads.setting());
}

TEST(AutoThreads, watched_steps_run_once_and_give_back_their_result) {
  ThreadScope scope;
  AutoThreads threads(scope);
  int steps = 0;
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(threads.watch([&] { return ++steps; }), i);
}

}  // namespace levin::threads_test
