#include <levin/framework/collectives/process_group.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/nccl.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>

#include "distributed/joined_ranks.h"
#include "framework/launch/launcher_fixture.h"
#include "framework/message_of.h"

// The ranks' exchange, each rank a thread of this process.

namespace levin::process_group_test {

using test::eventually;
using test::on_ranks;
using test::run_ranks;
using test::says;
using Op = ProcessGroup::Op;

torch::Tensor value(double number, at::Device device = at::kCPU) {
  return torch::full({3}, number, at::TensorOptions(torch::kDouble).device(device));
}

/// Every collective, on tensors of `device`.
void exchange(ProcessGroup& group, at::Device device) {
  const auto rank = static_cast<double>(group.rank());
  const auto size = static_cast<double>(group.world_size());
  const auto reduced = [&](Op op) {
    auto tensor = value(rank + 1.0, device);
    group.all_reduce(tensor, op);
    EXPECT_EQ(tensor.device().type(), device.type());
    return tensor.cpu();
  };
  EXPECT_TRUE(torch::equal(reduced(Op::sum), value(size * (size + 1.0) / 2.0)));
  EXPECT_TRUE(torch::equal(reduced(Op::min), value(1.0)));
  EXPECT_TRUE(torch::equal(reduced(Op::max), value(size)));

  const auto all = group.all_gather(value(rank, device)).cpu();
  ASSERT_EQ(all.sizes(), (std::vector<int64_t>{group.world_size(), 3}));
  for (int64_t i = 0; i < group.world_size(); ++i) {
    EXPECT_TRUE(torch::equal(all[i], value(static_cast<double>(i))));
  }

  auto numbers = value(rank + 5.0, device);
  auto count = torch::full({}, group.rank() + 7, at::TensorOptions(torch::kLong).device(device));
  group.broadcast({numbers, count});
  EXPECT_TRUE(torch::equal(numbers.cpu(), value(5.0)));
  EXPECT_EQ(count.item<int64_t>(), 7);
  group.barrier();
}

class ProcessGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

TEST_F(ProcessGroupTest, every_collective_gives_every_rank_the_same) {
  for (const int64_t world_size : {1, 2, 3}) {
    on_ranks(world_size, [](ProcessGroup& group) { exchange(group, at::kCPU); });
  }
}

TEST_F(ProcessGroupTest, nobody_passes_a_barrier_before_the_last_is_there) {
  std::atomic<int> arrived{0};
  on_ranks(3, [&](ProcessGroup& group) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30 * group.rank()));
    ++arrived;
    group.barrier();
    EXPECT_EQ(arrived, 3);
  });
}

TEST_F(ProcessGroupTest, a_value_waits_for_whoever_asks_and_who_asks_waits_for_it) {
  const std::string bytes("a\0b\xff", 4);
  on_ranks(2, [&](ProcessGroup& group) {
    if (group.rank() == 0) {
      group.set("early", "1");
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
      group.set("late", bytes);
    } else {
      EXPECT_EQ(group.get("late"), bytes);
      EXPECT_EQ(group.get("early"), "1");
    }
  });
}

TEST_F(ProcessGroupTest, a_wait_for_a_value_keeps_no_other_thread_waiting) {
  on_ranks(1, [](ProcessGroup& group) {
    std::thread waits([&] { EXPECT_EQ(group.get("key"), "here"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    group.set("key", "here");
    waits.join();
  });
}

TEST_F(ProcessGroupTest, the_same_ranks_joined_twice_may_use_either_group_in_any_order) {
  on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup second(group, "second");
    EXPECT_EQ(second.rank(), group.rank());
    EXPECT_EQ(second.world_size(), 2);
    auto a = value(1.0);
    auto b = torch::ones({1000});
    const auto first = [&] { group.all_reduce(a); };
    const auto other = [&] { second.all_reduce(b); };
    // Each rank needs the other's second call to end its first one.
    std::thread thread([&] { group.rank() == 0 ? first() : other(); });
    group.rank() == 0 ? other() : first();
    thread.join();
    EXPECT_TRUE(torch::equal(a, value(2.0)));
    EXPECT_EQ(b.sum().item<double>(), 2000.0);
    second.set("key", "second");
    group.barrier();
    EXPECT_EQ(second.get("key"), "second");
    group.barrier();
  });
}

/// The ranks of the pair that a rank of 4 is in: 0 and 2, or 3 and 1, in this order.
std::vector<int64_t> pair_of(int64_t rank) {
  return rank % 2 == 0 ? std::vector<int64_t>{0, 2} : std::vector<int64_t>{3, 1};
}

TEST_F(ProcessGroupTest, one_call_joins_several_parts_of_the_ranks) {
  on_ranks(4, [](ProcessGroup& group) {
    ProcessGroup pair(group, pair_of(group.rank()), "pair");
    ASSERT_TRUE(pair.is_member());
    EXPECT_EQ(pair_of(group.rank())[static_cast<size_t>(pair.rank())], group.rank());
    EXPECT_EQ(pair.world_size(), 2);
    EXPECT_EQ(pair.global_rank(), group.rank());
    exchange(pair, at::kCPU);
    auto sum = value(static_cast<double>(group.rank()));
    pair.all_reduce(sum);
    EXPECT_TRUE(torch::equal(sum, value(group.rank() % 2 == 0 ? 2.0 : 4.0)));
    EXPECT_EQ(pair.all_gather_text(std::to_string(group.rank())),
              group.rank() % 2 == 0 ? (std::vector<std::string>{"0", "2"})
                                    : (std::vector<std::string>{"3", "1"}));
    if (pair.rank() == 0) pair.set("key", std::to_string(group.rank()));
    EXPECT_EQ(pair.get("key"), group.rank() % 2 == 0 ? "0" : "3");
    EXPECT_NE(pair.host_sum(1000), nullptr);

    // A part of a part, and one that the other ranks aren't in.
    ProcessGroup alone(pair, {pair.rank()}, "alone");
    exchange(alone, at::kCPU);
    ProcessGroup first(group, {0, 1}, "first");
    EXPECT_EQ(first.is_member(), group.rank() < 2);
    EXPECT_EQ(first.world_size(), 2);
    if (first.is_member()) {
      exchange(first, at::kCPU);
    } else {
      EXPECT_EQ(first.rank(), -1);
      EXPECT_TRUE(says(test::message_of<DistributedError>([&] { first.barrier(); }),
                       {"rank " + std::to_string(group.rank()), "isn't in this group of 2 ranks"}));
      EXPECT_THROW(first.set("key", "value"), DistributedError);
    }
    exchange(group, at::kCPU);
  });
}

TEST_F(ProcessGroupTest, a_part_on_one_of_several_hosts_sums_in_shared_memory) {
  test::as_ranks(4, [](Cluster cluster) {
    cluster.num_nodes = 2;
    cluster.node_rank = cluster.rank / 2;
    ProcessGroup group(cluster, at::kCPU);
    ProcessGroup host(group, {cluster.rank / 2 * 2, cluster.rank / 2 * 2 + 1}, "host");
    ProcessGroup across(group, {cluster.rank % 2, cluster.rank % 2 + 2}, "across");
    EXPECT_NE(host.host_sum(1000), nullptr);
    EXPECT_EQ(across.host_sum(1000), nullptr);
    EXPECT_EQ(group.host_sum(1000), nullptr);
    group.barrier();
  });
}

TEST_F(ProcessGroupTest, a_part_of_ranks_that_arent_there_is_an_error) {
  on_ranks(2, [](ProcessGroup& group) {
    for (const auto& ranks : std::vector<std::vector<int64_t>>{{}, {0, 2}, {-1}, {1, 1}}) {
      EXPECT_TRUE(says(test::message_of<ConfigError>([&] { ProcessGroup(group, ranks, "part"); }),
                       {"the ranks of a process group", "from 0 to 1"}));
    }
    exchange(group, at::kCPU);
  });
}

// Row 45 in part: what a rank that isn't there does to the others.
TEST_F(ProcessGroupTest, a_rank_that_never_comes_is_an_error_that_says_what_to_do) {
  const auto failures = run_ranks(2, [](const Cluster& cluster) {
    if (cluster.rank == 0) ProcessGroup(cluster, at::kCPU, {.timeout = 1.0});
  });
  EXPECT_TRUE(says(failures[0], {"rank 0", "start all 2 ranks", "127.0.0.1:", "timeout = 1 s"}));
}

TEST_F(ProcessGroupTest, a_late_rank_is_an_error_that_says_what_to_do) {
  std::atomic<bool> over{false};
  const auto failures = run_ranks(2, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, {.timeout = 2.0});
    if (cluster.rank == 0) {
      try {
        auto tensor = value(1.0);
        group.all_reduce(tensor);
      } catch (...) {
        over = true;
        throw;
      }
    } else {
      while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  EXPECT_TRUE(
      says(failures[0], {"rank 0: all_reduce: ", "2000ms", "another rank has failed or is late"}));
  EXPECT_EQ(failures[1], "");
}

TEST_F(ProcessGroupTest, a_value_nobody_sets_is_an_error) {
  const auto failures = run_ranks(1, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, {.timeout = 1.0});
    group.get("never");
  });
  EXPECT_TRUE(says(failures[0], {"rank 0: waiting for 'never'", "no rank has set it"}));
}

/// Longer than ctest lets any test run: what ends a wait is something else.
const ProcessGroupOptions kNoTimeout{.timeout = 3600.0};

TEST_F(ProcessGroupTest, a_rank_that_goes_away_frees_the_others) {
  std::atomic<int> joined{0};
  const auto failures = run_ranks(3, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, kNoTimeout);
    ++joined;
    if (cluster.rank == 2) {
      EXPECT_TRUE(eventually([&] { return joined == 3; }));
      return;  // its connections are closed
    }
    auto tensor = value(1.0);
    group.all_reduce(tensor);
  });
  EXPECT_TRUE(says(failures[0], {"rank 0: all_reduce"}));
  EXPECT_TRUE(says(failures[1], {"rank 1: all_reduce"}));
}

TEST_F(ProcessGroupTest, abort_frees_all_ranks_that_wait) {
  std::atomic<int> waiting{0};
  const auto failures = run_ranks(3, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, kNoTimeout);
    ProcessGroup second(group, "second");
    if (cluster.rank == 2) {  // is busy with something else for ever
      EXPECT_TRUE(eventually([&] { return waiting == 2; }));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return group.abort();
    }
    auto tensor = value(1.0);
    ++waiting;
    (cluster.rank == 0 ? group : second).all_reduce(tensor);
  });
  EXPECT_TRUE(says(failures[0], {"rank 0: all_reduce"}));
  EXPECT_TRUE(says(failures[1], {"rank 1: all_reduce"}));
}

// Rank 0 is connected to rank 2 alone, in "again", and rank 1 to rank 3 alone. That the ranks with
// which they wait abort the group of all ranks frees both.
TEST_F(ProcessGroupTest, abort_of_all_ranks_frees_those_that_wait_in_a_part_of_a_part) {
  std::atomic<int> waiting{0};
  const auto failures = run_ranks(4, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, kNoTimeout);
    ProcessGroup pair(group, pair_of(group.rank()), "pair");
    ProcessGroup again(pair, "again");
    auto tensor = value(1.0);
    if (cluster.rank < 2) {
      ++waiting;
      return cluster.rank == 0 ? again.all_reduce(tensor) : pair.all_reduce(tensor);
    }
    std::thread watch([&] {
      EXPECT_TRUE(eventually([&] { return waiting == 3; }));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      group.abort();
    });
    if (cluster.rank == 2) {
      ++waiting;
      EXPECT_THROW(again.get("never"), DistributedError);
    }
    watch.join();
    EXPECT_THROW(pair.all_reduce(tensor), DistributedError);
    EXPECT_THROW(ProcessGroup(again, {again.rank()}, "late").get("never"), DistributedError);
  });
  EXPECT_TRUE(says(failures[0], {"rank 0: all_reduce"}));
  EXPECT_TRUE(says(failures[1], {"rank 1: all_reduce"}));
  EXPECT_EQ(failures[2], "");
  EXPECT_EQ(failures[3], "");
}

TEST_F(ProcessGroupTest, abort_from_another_thread_frees_this_rank) {
  std::atomic<bool> over{false};
  const auto failures = run_ranks(2, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU, kNoTimeout);
    if (cluster.rank == 1) {  // hangs, its connections open
      while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    std::thread watch([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      group.abort();
    });
    auto tensor = value(1.0);
    EXPECT_THROW(group.all_reduce(tensor), DistributedError);
    watch.join();
    EXPECT_THROW(group.all_reduce(tensor), DistributedError);
    EXPECT_THROW(group.barrier(), DistributedError);
    EXPECT_THROW(group.get("never"), DistributedError);
    over = true;
  });
  for (const auto& failure : failures) EXPECT_EQ(failure, "");
}

TEST_F(ProcessGroupTest, a_backend_that_cant_be_is_an_error_before_anybody_meets) {
  const auto message_of = [&](const std::string& backend) {
    return run_ranks(1, [&](const Cluster& cluster) {
      ProcessGroup(cluster, at::kCPU, {.backend = backend});
    })[0];
  };
  EXPECT_TRUE(says(message_of("glo"), {"did you mean 'gloo'"}));
  EXPECT_TRUE(says(message_of("nccl"), {"backend = nccl on device cpu"}));
}

TEST_F(ProcessGroupTest, gloo_may_be_asked_for) {
  on_ranks(2, [](ProcessGroup& group) { exchange(group, at::kCPU); }, at::kCPU,
           {.backend = "gloo"});
}

class ProcessGroupCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
  at::Device gpu_{at::kCUDA, 0};
};

// Row 21 in part.
TEST_F(ProcessGroupCuda, nccl_runs_with_one_rank_and_gloo_beside_it) {
  if (!has_nccl()) GTEST_SKIP() << "this build has no NCCL";
  for (const char* backend : {"auto", "nccl"}) {
    on_ranks(1,
             [&](ProcessGroup& group) {
               exchange(group, gpu_);
               exchange(group, at::kCPU);
               ProcessGroup second(group, "second");
               exchange(second, gpu_);
             },
             gpu_, {.backend = backend});
  }
}

TEST_F(ProcessGroupCuda, gloo_joins_two_ranks_on_one_gpu) {
  on_ranks(2,
           [&](ProcessGroup& group) {
             exchange(group, gpu_);
             exchange(group, at::kCPU);
           },
           gpu_, {.backend = "gloo"});
}

TEST_F(ProcessGroupCuda, nccl_may_be_aborted) {
  if (!has_nccl()) GTEST_SKIP() << "this build has no NCCL";
  test::as_ranks(1, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, gpu_, {.backend = "nccl"});
    exchange(group, gpu_);
    group.abort();
  });
}

}  // namespace levin::process_group_test
