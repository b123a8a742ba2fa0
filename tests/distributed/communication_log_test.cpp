#include <levin/framework/profiling/communication_log.h>

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "distributed/ranks_as_threads.h"
#include "framework/meeting.h"
#include "framework/support.h"

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/sharded.h>

namespace levin::test::communication_log_test {

TEST(CommunicationLog, knows_each_collectives_times_and_the_moment_gradients_were_complete) {
  const ThreadClocks clocks;
  double& now = ThreadClocks::now();
  CommunicationLog log;
  for (double start : {100.0, 200.0}) {
    now = start;
    log.begin();
    now = start + 1;
    const auto first = log.started(10);
    now = start + 2;
    const auto second = log.started(20);
    now = start + 3;
    log.ended(second);
    now = start + 4;
    log.ended(first);
    now = start + 5;
    const Reduction& step = log.finish();
    ASSERT_EQ(step.collectives.size(), 2U);
    EXPECT_EQ(step.collectives[0].begin, start + 1);
    EXPECT_EQ(step.collectives[0].end, start + 4);
    EXPECT_EQ(step.collectives[0].bytes, 10);
    EXPECT_EQ(step.collectives[1].begin, start + 2);
    EXPECT_EQ(step.collectives[1].end, start + 3);
    EXPECT_EQ(step.ready, start + 2);
    EXPECT_EQ(step.end, start + 5);
  }
}

TEST(CommunicationLog, an_end_that_comes_too_late_changes_no_later_step) {
  const ThreadClocks clocks;
  double& now = ThreadClocks::now() = 1;
  CommunicationLog log;
  log.begin();
  const auto late = log.started(1);
  now = 2;
  EXPECT_EQ(log.finish().collectives[0].end, 2);
  now = 3;
  log.ended(late);
  log.begin();
  log.started(1);
  now = 4;
  log.ended(late);
  now = 5;
  EXPECT_EQ(log.finish().collectives[0].end, 5);
}

TEST(CommunicationLog, a_step_without_collectives_waits_for_nothing) {
  const ThreadClocks clocks;
  ThreadClocks::now() = 7;
  CommunicationLog log;
  log.begin();
  const Reduction& step = log.finish();
  EXPECT_EQ(step.ready, 7);
  EXPECT_EQ(step.end, 7);
  EXPECT_TRUE(step.collectives.empty());
}

// For the tsan preset.
TEST(CommunicationLog, ends_may_come_from_other_threads) {
  CommunicationLog log;
  for (int step = 0; step < 20; ++step) {
    log.begin();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      const auto ticket = log.started(i);
      threads.emplace_back([&log, ticket] { log.ended(ticket); });
    }
    const Reduction& seen = log.finish();
    EXPECT_EQ(seen.collectives.size(), 4U);
    for (auto& thread : threads) thread.join();
    for (const auto& one : seen.collectives) {
      EXPECT_GE(one.end, one.begin);
      EXPECT_LE(one.begin, seen.ready);
    }
  }
}

TEST(CommunicationLog, bytes_are_those_of_a_ring) {
  EXPECT_EQ(CommunicationLog::ring_bytes(1000, 1), 0);
  EXPECT_EQ(CommunicationLog::ring_bytes(1000, 2), 1000);
  EXPECT_EQ(CommunicationLog::ring_bytes(1000, 4), 1500);
  EXPECT_EQ(CommunicationLog::ring_bytes(10, 4), 2 * 3 * 3);
}

// --- between ranks, which are threads here ---

constexpr double kSlower = 100.0;  // seconds; longer than the test takes on the busiest machine

/// The clock of two ranks that reduce gradients. Rank 1 puts it forward by kSlower in each step, as
/// soon as rank 0 has nothing left to do but wait for rank 1. So rank 1 is slower by kSlower, but
/// nothing takes that long.
class SteppedClock {
 public:
  SteppedClock() {
    files::inject_clock([this] { return look(); });
  }
  ~SteppedClock() { files::inject_clock({}); }
  SteppedClock(const SteppedClock&) = delete;
  SteppedClock& operator=(const SteppedClock&) = delete;

  /// Rank 0 begins its backward: it looks at the clock next when its gradients are complete.
  static void begin_backward() { is_in_backward() = true; }
  /// Rank 1 waits until rank 0 has taken that look, and puts the clock forward.
  void put_forward() {
    std::unique_lock lock(mutex_);
    const bool has_looked =
        complete_.wait_for(lock, std::chrono::seconds(60), [this] { return times_ > jumps_; });
    EXPECT_TRUE(has_looked) << "rank 0's gradients aren't complete";
    ++jumps_;
  }

 private:
  static bool& is_in_backward() {
    thread_local bool value = false;
    return value;
  }
  double look() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_in_backward(), false)) {
      ++times_;
      complete_.notify_all();
    }
    const std::chrono::duration<double> real = std::chrono::steady_clock::now().time_since_epoch();
    return real.count() + jumps_ * kSlower;
  }

  std::mutex mutex_;
  std::condition_variable complete_;
  int times_ = 0;  // that rank 0's gradients were complete
  int jumps_ = 0;
};

/// Its backward takes longer by kSlower on rank 1.
class Sluggish : public Classifier {
 public:
  Sluggish(SteppedClock& clock, bool is_slower) : clock_(clock), is_slower_(is_slower) {}
  void backward(const torch::Tensor& loss) override {
    is_slower_ ? clock_.put_forward() : clock_.begin_backward();
    Module::backward(loss);
  }

 private:
  SteppedClock& clock_;
  bool is_slower_;
};

DataParallelOptions options_for_jumps() { return {.heartbeat_timeout = 100 * kSlower}; }

/// Reduces gradients five times; rank 1 is slower.
Profile profile_of(Strategy& strategy, SteppedClock& clock) {
  Sluggish module(clock, strategy.ranks().rank() == 1);
  SimpleProfiler profiler(nullptr);
  strategy.set_profiler(&profiler);
  profiler.begin_run(Stage::fit);
  profiler.joined(strategy.ranks(), nullptr, {});
  strategy.setup(module);
  const auto points = make_points(16, static_cast<uint64_t>(strategy.ranks().rank()));
  for (int step = 0; step < 5; ++step) {
    const auto loss = torch::cross_entropy_loss(module.forward(points.input), points.target);
    const ProfilePart backward(&profiler, Part::backward);
    EXPECT_EQ(strategy.backward(module, loss, 0.5, 16.0), 32.0);
  }
  profiler.end_run(/*failed=*/false);
  strategy.set_profiler(nullptr);
  return profiler.profile();
}

void check_times(const std::vector<Profile>& ranks) {
  for (const auto& profile : ranks) {
    const Communication& one = profile.communication;
    EXPECT_EQ(one.steps, 5);
    EXPECT_GT(one.seconds, 0.0);
    EXPECT_LE(one.hidden, one.seconds);
    EXPECT_GT(one.waiting, 0.0);
    EXPECT_LE(one.waiting, profile.row(Part::backward).seconds);
    EXPECT_GE(one.waiting, one.for_slower);
  }
  EXPECT_GE(ranks[0].communication.waiting, 5 * kSlower) << ranks[0].table();
  EXPECT_GT(ranks[0].communication.for_slower, 0.8 * 5 * kSlower) << ranks[0].table();
  EXPECT_EQ(ranks[1].communication.for_slower, 0.0) << ranks[0].table();
}

// Rows 35 and 37: what a reduction really took.
TEST(CommunicationOfRanks, is_measured_and_waiting_for_a_slower_rank_is_told_apart) {
  if (!has_gloo()) GTEST_SKIP() << "no Gloo in this build";
  SteppedClock clock;
  std::vector<Profile> profiles(2);
  as_ranks(2, [&](const Cluster& cluster) {
    DataParallelStrategy strategy(cluster, at::kCPU, options_for_jumps());
    profiles[static_cast<size_t>(cluster.rank)] = profile_of(strategy, clock);
  });
  check_times(profiles);
  const double numbers = 4 * 16 + 16 + 16 * 3 + 3 + static_cast<double>(GradientReducer::kRiders);
  for (const auto& profile : profiles) {
    // Of two ranks each sends as much as it has; buckets of an odd length are rounded up.
    EXPECT_NEAR(static_cast<double>(profile.communication.bytes), 5 * 4 * numbers, 5 * 4);
  }
}

TEST(CommunicationOfRanks, is_measured_where_gradients_are_sharded) {
  if (!has_gloo()) GTEST_SKIP() << "no Gloo in this build";
  SteppedClock clock;
  std::vector<Profile> profiles(2);
  as_ranks(2, [&](const Cluster& cluster) {
    ShardedStrategy strategy(cluster, at::kCPU, {.data_parallel = options_for_jumps(), .stage = 2});
    profiles[static_cast<size_t>(cluster.rank)] = profile_of(strategy, clock);
  });
  check_times(profiles);
  // Half of the gradients, and riders.
  const int64_t numbers = 4 * 16 + 16 + 16 * 3 + 3;
  EXPECT_GT(profiles[0].communication.bytes, 5 * 4 * numbers / 2);
  EXPECT_LT(profiles[0].communication.bytes, 5 * (4 * numbers / 2 + 1024));
}

}  // namespace levin::test::communication_log_test
