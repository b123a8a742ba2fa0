// StandingGather between ranks that are threads of this process.
#include <levin/framework/collectives/standing_gather.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/process_group.h>

#include "distributed/joined_ranks.h"

namespace levin::standing_gather_test {

class StandingGatherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

torch::Tensor bytes_of(int64_t rank, int64_t round) {
  return torch::full({5}, 10 * round + rank, torch::kByte);
}

TEST_F(StandingGatherTest, gathers_the_bytes_of_each_round_in_the_order_of_the_ranks) {
  test::on_ranks(3, [](ProcessGroup& group) {
    StandingGather gather(group, 5);
    for (int64_t round = 0; round < 6; ++round) {
      // Ranks that are late in turns, by no more than a round.
      if (round % 3 == group.rank()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      gather.start(bytes_of(group.rank(), round));
      const auto all = gather.finish();
      for (int64_t rank = 0; rank < 3; ++rank) {
        EXPECT_TRUE(torch::equal(all[rank], bytes_of(rank, round))) << rank << ' ' << round;
      }
    }
  });
}

TEST_F(StandingGatherTest, several_at_once_and_one_after_another_do_not_mix) {
  test::on_ranks(2, [](ProcessGroup& group) {
    for (int64_t time = 0; time < 2; ++time) {  // the first ones have expected a round more
      StandingGather first(group, 5);
      StandingGather second(group, 5);
      for (int64_t round = 0; round < 2; ++round) {
        first.start(bytes_of(group.rank(), round + 4 * time));
        second.start(bytes_of(group.rank(), round + 4 * time + 2));
        const auto later = second.finish();
        const auto earlier = first.finish();
        const auto other = 1 - group.rank();
        EXPECT_TRUE(torch::equal(earlier[other], bytes_of(other, round + 4 * time)));
        EXPECT_TRUE(torch::equal(later[other], bytes_of(other, round + 4 * time + 2)));
      }
    }
  });
}

TEST_F(StandingGatherTest, a_rank_may_leave_after_the_last_round) {
  test::as_ranks(2, [](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, {});
    StandingGather gather(group, 5);
    for (int64_t round = 0; round < 2; ++round) {
      gather.start(bytes_of(cluster.rank, round));
      gather.finish();
    }
  });
}

TEST_F(StandingGatherTest, fails_if_another_rank_is_gone) {
  const auto failures = test::run_ranks(2, [](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, {});
    StandingGather gather(group, 5);
    const int64_t rounds = cluster.rank == 0 ? 3 : 1;
    for (int64_t round = 0; round < rounds; ++round) {
      gather.start(bytes_of(cluster.rank, round));
      gather.finish();
    }
  });
  EXPECT_NE(failures[0], "");
  EXPECT_EQ(failures[1], "");
}

TEST_F(StandingGatherTest, abort_ends_the_wait) {
  std::atomic<bool> over{false};
  const auto failures = test::run_ranks(2, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, {});
    StandingGather gather(group, 5);
    if (cluster.rank == 1) {  // hangs, its connections open
      while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    std::atomic<bool> waits{false};
    std::thread watch([&] {
      while (!waits) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      group.abort();
    });
    gather.start(bytes_of(0, 0));
    waits = true;
    EXPECT_ANY_THROW(gather.finish());
    watch.join();
    over = true;
  });
  for (const auto& failure : failures) EXPECT_EQ(failure, "");
}

}  // namespace levin::standing_gather_test
