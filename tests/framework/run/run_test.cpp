#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>

#include <levin/framework/core/error.h>
#include <levin/framework/run/run_control.h>

#include "framework/meeting.h"
#include "framework/message_of.h"

// What callbacks and modules get from a Run, without a Trainer.

namespace levin::run_test {

using test::message_of;
using test::says;

/// Calls `work` as each of `size` ranks, in threads.
void as_ranks(size_t size, const std::function<void(Run&)>& work) {
  test::Meeting meeting(size);
  test::in_threads(size, [&](size_t rank) {
    test::ThreadRank ranks(meeting, rank);
    RunControl run;
    run.set_ranks(ranks);
    work(run);
  });
}

// A confusion matrix of each rank's own rows is exact under ddp once it is summed.
TEST(RunReduce, sums_tensors_of_any_type_on_every_rank) {
  as_ranks(3, [](levin::Run& run) {
    const int64_t rank = run.ranks().rank();
    const int64_t large = (int64_t{1} << 60) + rank;  // more digits than a float64 has
    const auto counts = torch::tensor({large, rank});
    const auto all = run.reduce(counts);
    EXPECT_EQ(all[0].item<int64_t>(), 3 * (int64_t{1} << 60) + 3);
    EXPECT_EQ(all[1].item<int64_t>(), 3);
    EXPECT_TRUE(torch::equal(counts[1], torch::tensor(rank))) << "the argument stays";
    const auto sum = run.reduce(torch::full({2}, 0.1F));
    EXPECT_TRUE(torch::equal(sum, torch::full({2}, 0.1F + 0.1F + 0.1F)));
  });
}

TEST(RunReduce, takes_means_minima_and_maxima_too) {
  as_ranks(2, [](levin::Run& run) {
    const int64_t rank = run.ranks().rank();
    const auto own = torch::tensor({rank, -rank});
    EXPECT_TRUE(
        torch::equal(run.reduce(own, Reduce::mean), torch::tensor({0.5, -0.5}, torch::kDouble)));
    EXPECT_TRUE(torch::equal(run.reduce(own, Reduce::min), torch::tensor({0, -1}, torch::kLong)));
    EXPECT_TRUE(torch::equal(run.reduce(own, Reduce::max), torch::tensor({1, 0}, torch::kLong)));
    EXPECT_TRUE(run.reduce(torch::tensor(rank == 1)).item<bool>());
  });
}

TEST(RunReduce, of_one_rank_is_a_copy_without_a_graph) {
  RunControl run;
  const auto own = torch::ones({2}, torch::requires_grad());
  const auto result = run.reduce(own * 2);
  EXPECT_TRUE(torch::equal(result, torch::full({2}, 2.0F)));
  EXPECT_FALSE(result.requires_grad());
}

TEST(RunReduce, refuses_tensors_that_differ_and_none_at_all) {
  as_ranks(2, [](levin::Run& run) {
    const auto refusal = message_of<DistributedError>([&] {
      run.reduce(torch::zeros({2, run.ranks().rank() + 1}));
    });
    EXPECT_TRUE(says(refusal, {"rank 0 gave a tensor 2 x 1", "rank 1 one 2 x 2", "same shape"}));
  });
  RunControl run;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { run.reduce({}); }), {"undefined"}));
}

TEST(RunAllGather, has_the_tensors_of_all_ranks_in_their_order) {
  as_ranks(3, [](levin::Run& run) {
    const auto own = torch::full({2}, static_cast<double>(run.ranks().rank()));
    EXPECT_TRUE(torch::equal(run.all_gather(own), torch::tensor({{0., 0.}, {1., 1.}, {2., 2.}})));
  });
  RunControl alone;
  const auto own = torch::ones({2}, torch::requires_grad());
  EXPECT_EQ(alone.all_gather(own).sizes(), (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(alone.all_gather(own).requires_grad());
  alone.all_gather(own, /*sync_grads=*/true).mul(3.0).sum().backward();
  EXPECT_TRUE(torch::equal(own.grad(), torch::full({2}, 3.0F)));
}

// Each rank's loss weighs the gathered rows differently; its tensor gets the gradients of all.
TEST(RunAllGather, sends_gradients_back_where_asked_to) {
  as_ranks(3, [](levin::Run& run) {
    const auto rank = static_cast<double>(run.ranks().rank());
    const auto own = torch::full({1}, rank, torch::requires_grad().dtype(torch::kDouble));
    const auto all = run.all_gather(own * 2, /*sync_grads=*/true);  // [3, 1]
    (all.squeeze(1) * torch::tensor({1., 10., 100.}, torch::kDouble) * (rank + 1)).sum().backward();
    EXPECT_EQ(own.grad().item<double>(), 2 * std::pow(10, rank) * (1 + 2 + 3));
  });
}

// Two pipelines of two stages: ranks 0 and 2 are the first one, and have the same rows.
TEST(RunAllGather, has_one_tensor_of_the_ranks_that_share_a_model) {
  test::Meeting meeting(4);
  test::in_threads(4, [&](size_t rank) {
    test::ThreadRank ranks(meeting, rank);
    RunControl run;
    run.set_ranks(ranks);
    run.set_place({.model_size = 2, .model_rank = rank < 2 ? 0 : 1});
    const auto own = torch::full({1}, static_cast<double>(rank), torch::kDouble);
    EXPECT_TRUE(torch::equal(run.all_gather(own), torch::tensor({{0.0}, {1.0}}, torch::kDouble)));
    const auto refusal = message_of<ModuleError>([&] { run.all_gather(own, true); });
    EXPECT_TRUE(says(refusal, {"2 ranks share a model", "leave sync_grads out"}));
  });
}

TEST(RunAllGather, refuses_tensors_that_differ_and_none_at_all) {
  as_ranks(2, [](levin::Run& run) {
    const auto refusal = message_of<DistributedError>([&] {
      run.all_gather(torch::zeros({2, run.ranks().rank() + 1}));
    });
    EXPECT_TRUE(says(refusal, {"all_gather", "rank 0 gave a tensor [2, 1]", "rank 1 one [2, 2]"}));
  });
  RunControl run;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { run.all_gather({}); }), {"undefined"}));
}

TEST(RunRanks, say_who_is_the_global_zero) {
  as_ranks(2, [](levin::Run& run) { EXPECT_EQ(run.is_global_zero(), run.ranks().rank() == 0); });
}

TEST(RunPrint, prints_a_line_to_stdout_on_rank_0_only) {
  ::testing::internal::CaptureStdout();
  as_ranks(2, [](levin::Run& run) { run.print("half of it is done"); });
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "half of it is done\n");
}

TEST(RunProgress, knows_whether_the_epoch_has_further_batches) {
  EXPECT_TRUE((Progress{.batch = 2, .num_batches = 3}).has_batches_left());
  EXPECT_FALSE((Progress{.batch = 3, .num_batches = 3}).has_batches_left());
  EXPECT_FALSE(Progress{.batch = 2}.has_batches_left()) << "a stream's end isn't known";
}

TEST(RunWarnings, are_printed_once_and_on_rank_0_only) {
  ::testing::internal::CaptureStderr();
  as_ranks(2, [](levin::Run& run) {
    run.warn("careful");
    run.warn("careful");
  });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "warning: careful\n");
}

TEST(RunWarnings, of_one_fact_are_printed_once_whatever_they_say) {
  RunControl run;
  ::testing::internal::CaptureStderr();
  run.warn("it may rain", "rain");
  run.warn("it has rained", "rain");
  run.warn("it is windy", "wind");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "warning: it may rain\nwarning: it is windy\n");
}

}  // namespace levin::run_test
