#include <levin/framework/nn/tensor_parallel.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/nn/parallel_linear.h>
#include <levin/framework/nn/tensor_shards.h>

#include "distributed/joined_ranks.h"
#include "framework/message_of.h"

// Rows and weights divided among ranks, each a thread of this process.

namespace levin::tensor_parallel_test {

using test::message_of;
using test::on_ranks;
using test::says;

constexpr int64_t kRows = 11;
constexpr int64_t kClasses = 5;
constexpr double kTolerance = 1e-12;

TEST(TensorParallel, cross_entropy_of_large_logits_is_finite_and_that_of_torch) {
  auto logits =
      torch::linspace(-2000.0, 3000.0, kRows * kClasses, torch::kDouble).view({kRows, kClasses});
  logits[0].fill_(-1e6);
  logits[1][4] = -INFINITY;
  const auto classes = torch::arange(kRows).add_(1).remainder_(kClasses);
  auto whole = logits.clone().requires_grad_();
  const auto expected = at::cross_entropy_loss(whole, classes, {}, at::Reduction::None);
  const auto weights = torch::linspace(0.5, 1.5, kRows, torch::kDouble);
  (expected * weights).sum().backward();
  on_ranks(3, [&](ProcessGroup& ranks) {
    const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
    const auto shard = shard_range(kClasses, group->rank(), group->world_size(), "num_classes");
    auto own = logits.narrow(1, shard.begin, shard.size()).clone().requires_grad_();
    const auto losses = class_parallel_cross_entropy(own, classes, shard, group);
    EXPECT_TRUE(torch::allclose(losses, expected, kTolerance, kTolerance));
    (losses * weights).sum().backward();
    EXPECT_TRUE(torch::allclose(own.grad(), whole.grad().narrow(1, shard.begin, shard.size()),
                                kTolerance, kTolerance));
    auto wrong = classes.clone();
    wrong[3] = kClasses;
    EXPECT_TRUE(says(
        message_of<ModuleError>([&] { class_parallel_cross_entropy(own, wrong, shard, group); }),
        {"the target 5", "from 0 to 4"}));
    EXPECT_THROW(class_parallel_cross_entropy(logits, classes, shard, group), ModuleError);
  });
}

TEST(TensorParallel, shares_cover_everything_and_differ_by_at_most_one) {
  for (const int64_t ranks : {1, 3, 4, 7}) {
    int64_t next = 0;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const auto shard = shard_range(7, rank, ranks, "features");
      EXPECT_EQ(shard.begin, next);
      EXPECT_GE(shard.size(), 7 / ranks);
      EXPECT_LE(shard.size(), (7 + ranks - 1) / ranks);
      next = shard.end;
    }
    EXPECT_EQ(next, 7);
  }
  EXPECT_TRUE(says(message_of<ConfigError>([] { shard_range(3, 0, 4, "num_classes"); }),
                   {"num_classes = 3 with 4 ranks", "at least 4"}));
}

TEST(TensorParallel, states_of_other_sizes_are_refused) {
  const TensorShards shards{{"a", {.dimension = 1, .range = shard_range(4, 0, 2, "features")}}};
  StateDict state;
  state.tensors["a"] = torch::zeros({3, 5});
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { take_shards(state, shards); }),
                   {"'a'", "[3, 5]", "dimension 1", "size 4"}));
  on_ranks(2, [&](ProcessGroup& group) {
    EXPECT_TRUE(says(message_of<CheckpointError>([&] { gather_shards(state, shards, group); }),
                     {"'a'", "dimension 1", "size 2"}));
  });
}

TEST(TensorParallel, layers_refuse_what_doesnt_fit) {
  on_ranks(2, [](ProcessGroup& ranks) {
    const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
    EXPECT_THROW(ColumnLinear(ColumnLinearOptions{.in_features = 0, .out_features = 4}, group),
                 ConfigError);
    EXPECT_THROW(RowLinear(RowLinearOptions{.in_features = 1, .out_features = 4}, group),
                 ConfigError);
    RowLinear layer(RowLinearOptions{.in_features = 5, .out_features = 4}, group);
    EXPECT_TRUE(says(message_of<ModuleError>([&] {
                       layer(torch::zeros({2, 5}));
                     }),
                     {"RowLinear.forward", "[2, 5]"}));
    const auto first = std::make_shared<ProcessGroup>(ranks, std::vector<int64_t>{0}, "first");
    if (first->is_member()) return;
    EXPECT_TRUE(says(message_of<ConfigError>([&] {
                       ColumnLinear(ColumnLinearOptions{.in_features = 4, .out_features = 4},
                                    first);
                     }),
                     {"rank 1"}));
  });
}

}  // namespace levin::tensor_parallel_test
