#include <levin/framework/profiling/communication_log.h>

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "distributed/ranks_as_threads.h"
#include "framework/meeting.h"
#include "framework/support.h"

#include <levin/framework/collectives/gloo.h>
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

constexpr double kSlower = 0.05;

/// Its backward takes longer by a while.
class Sluggish : public Classifier {
 public:
  explicit Sluggish(double seconds) : seconds_(seconds) {}
  void backward(const torch::Tensor& loss) override {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds_));
    Module::backward(loss);
  }

 private:
  double seconds_;
};

/// Reduces gradients five times; rank 1 is slower.
Profile profile_of(Strategy& strategy) {
  Sluggish module(strategy.ranks().rank() == 1 ? kSlower : 0.0);
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
  EXPECT_GT(ranks[0].communication.for_slower, 0.8 * 5 * kSlower) << ranks[0].table();
  EXPECT_LT(ranks[1].communication.for_slower, 0.5 * 5 * kSlower) << ranks[0].table();
}

// Rows 35 and 37: what a reduction over Gloo really took.
TEST(CommunicationOfRanks, is_measured_and_waiting_for_a_slower_rank_is_told_apart) {
  if (!has_gloo()) GTEST_SKIP() << "no Gloo in this build";
  std::vector<Profile> profiles(2);
  as_ranks(2, [&](const Cluster& cluster) {
    DataParallelStrategy strategy(cluster, at::kCPU);
    profiles[static_cast<size_t>(cluster.rank)] = profile_of(strategy);
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
  std::vector<Profile> profiles(2);
  as_ranks(2, [&](const Cluster& cluster) {
    ShardedStrategy strategy(cluster, at::kCPU, {.data_parallel = {}, .stage = 2});
    profiles[static_cast<size_t>(cluster.rank)] = profile_of(strategy);
  });
  check_times(profiles);
  // Half of the gradients, and riders.
  const int64_t numbers = 4 * 16 + 16 + 16 * 3 + 3;
  EXPECT_GT(profiles[0].communication.bytes, 5 * 4 * numbers / 2);
  EXPECT_LT(profiles[0].communication.bytes, 5 * (4 * numbers / 2 + 1024));
}

}  // namespace levin::test::communication_log_test
