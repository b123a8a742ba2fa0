// Batches that count by their tokens, on several ranks.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <vector>

#include <levin/framework/loops/training_step.h>
#include <levin/framework/strategies/sharded.h>

#include "distributed/ranks_as_threads.h"
#include "framework/loops/token_net.h"

namespace levin::token_ranks_test {

using test::TokenData;
using test::TokenNet;

/// Trains on a window of two batches of six rows, of which this rank has every `size`-th.
void train(Strategy& strategy, TokenNet& module) {
  TokenData data(12, 6);
  const HookList hooks;
  const std::vector<Callback*> callbacks;
  const std::vector<Logger*> loggers;
  TrainerOptions options;
  options.accumulate_grad_batches = 2;
  RunControl run;
  LoopParts parts{module, data, strategy, hooks, callbacks, loggers, options, run};
  strategy.setup(module);
  auto optimizers = module.configure_optimizers();
  strategy.shard_optimizers(optimizers);
  TrainingStep training_step(parts, optimizers);
  LoggedValues metrics;
  StepControl step(run, metrics, /*on_step=*/true);
  metrics.begin_epoch();
  for (const int64_t begin : {0, 6}) {
    const auto& ranks = strategy.ranks();
    const Batch own = data.rows(begin + ranks.rank(), begin + 6, ranks.size());
    metrics.begin_batch(own.rows(), 0, 1);
    step.begin(begin / 6, 0);
    EXPECT_EQ(training_step.run(own, step, 6, begin == 6), begin == 6);
  }
  strategy.reduce(metrics);
  module.logged = {metrics.epoch_values(LoggedValues::For::callbacks).at("loss")};
  strategy.teardown(module);
}

TEST(TokenRanks, take_the_step_of_the_mean_over_the_tokens_of_all_of_them) {
  TokenData data(12, 6);
  TokenNet start;
  const auto all = data.rows(0, 12);
  const auto expected = start.parameters().front().detach() - 0.1 * start.gradient_of(all);
  // Of six ranks, the first has no token.
  for (const int64_t ranks : {1, 2, 6}) {
    for (const int64_t stage : {0, 2}) {
      SCOPED_TRACE(::testing::Message() << ranks << " ranks, stage " << stage);
      test::as_ranks(ranks, [&](const Cluster& cluster) {
        std::unique_ptr<Strategy> strategy;
        if (stage == 0) {
          strategy = std::make_unique<DataParallelStrategy>(cluster, torch::kCPU);
        } else {
          strategy = std::make_unique<ShardedStrategy>(cluster, torch::kCPU,
                                                       ShardedOptions{.stage = stage});
        }
        TokenNet module;
        module.learning_rate = 0.1;
        train(*strategy, module);
        const auto difference = module.parameters().front().detach() - expected;
        EXPECT_LT(difference.abs().max().item<double>(), 1e-15);
        EXPECT_NEAR(module.logged.front(), start.loss_of(all), 1e-14);
        strategy->ranks().barrier();
      });
    }
  }
}

}  // namespace levin::token_ranks_test
