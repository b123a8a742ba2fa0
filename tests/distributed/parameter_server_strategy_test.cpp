// The strategy of parameter servers, in a loop of one's own.
#include <levin/framework/strategies/parameter_server_strategy.h>

#include <gtest/gtest.h>

#include <string>

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/server_layout.h>

#include "distributed/ranks_as_threads.h"
#include "framework/message_of.h"

namespace levin::test::parameter_server_strategy_test {

using levin::Batch;
using levin::Step;

/// The loss is the sum of the squares of the weights w, so its gradient is 2 w.
class Squares : public levin::Module {
 public:
  Squares() : weight(register_parameter("weight", torch::tensor({1.0, -2.0}, torch::kFloat))) {}
  torch::Tensor training_step(const Batch&, Step&) override { return loss(); }
  torch::Tensor loss() const { return (weight * weight).sum(); }
  torch::Tensor weight;
};

// Row 47, the compensation of delays (DC-ASGD): rank 1 pushes a gradient g of the first weights w'
// when the server has stepped to w by that of rank 0, and g becomes g + lambda g^2 (w - w'). The
// ranks are on two hosts, as far as they know.
TEST(ParameterServerStrategyTest, corrects_late_gradients_out_of_step) {
  for (const double lambda : {0.0, 0.5}) {
    for (const int64_t servers : {1, 2}) {
      SCOPED_TRACE(fmt::format("lambda {}, {} servers", lambda, servers));
      as_ranks(2, [&](Cluster cluster) {
        cluster.num_nodes = 2;
        cluster.node_rank = cluster.rank;
        cluster.local_rank = 0;
        cluster.local_world_size = 1;
        ParameterServerStrategy strategy(
            cluster, at::kCPU, {},
            {.mode = ServerSettings::Mode::asp, .servers = servers, .delay_compensation = lambda});
        Squares model;
        strategy.setup(model);
        Optimizers optimizers(levin::SGD(model.parameters(), {.learning_rate = 0.25}));
        strategy.shard_optimizers(optimizers);
        strategy.backward(model, model.loss(), /*weight=*/1.0, 4.0);
        auto& optimizer = *optimizers.entries()[0].optimizer;
        if (cluster.rank == 0) optimizer.step();
        strategy.ranks().barrier();
        if (cluster.rank == 1) optimizer.step();
        optimizer.complete_parameters();
        const auto first = torch::tensor({1.0, -2.0}, torch::kFloat);
        const auto gradient = 2.0 * first;
        const auto second = first - 0.25 * gradient;
        const auto late = gradient + lambda * gradient * gradient * (second - first);
        EXPECT_LE((model.weight - (second - 0.25 * late)).abs().max().item<double>(), 1e-6)
            << model.weight;
        EXPECT_EQ(strategy.take_staleness(), cluster.rank == 0 ? 1 : 0);
        strategy.ranks().barrier();
        strategy.teardown(model);
      });
    }
  }
}

class Words : public levin::Module {
 public:
  static constexpr int64_t kWords = 256;
  static constexpr int64_t kFeatures = 4;
  Words()
      : embedding(register_module(
            "embedding",
            torch::nn::Embedding(torch::nn::EmbeddingOptions(kWords, kFeatures).sparse(true)))) {
    const torch::NoGradGuard no_grad;
    embedding->weight.zero_();
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    return embedding(batch.input()).sum();
  }
  torch::nn::Embedding embedding;
};

TEST(ParameterServerStrategyTest, pushes_only_the_rows_of_sparse_gradients) {
  for (const int64_t servers : {1, 2}) {
    SCOPED_TRACE(servers);
    as_ranks(2, [&](const Cluster& cluster) {
      ParameterServerStrategy strategy(cluster, at::kCPU, {}, {.servers = servers});
      Words model;
      strategy.setup(model);
      Optimizers optimizers(levin::SGD(model.parameters(), {.learning_rate = 0.5}));
      strategy.shard_optimizers(optimizers);
      const auto ids = cluster.rank == 0 ? torch::tensor({1, 200}) : torch::tensor({200, 255});
      const auto loss = model.embedding(ids).sum() / 4.0;
      strategy.backward(model, loss, /*weight=*/1.0, 2.0);
      EXPECT_TRUE(model.embedding->weight.grad().is_sparse());
      strategy.scale_gradients(model.parameters(), 4.0);
      optimizers.entries()[0].optimizer->step();
      auto expected = torch::zeros({Words::kWords, Words::kFeatures});
      for (const int64_t id : {1, 200, 200, 255}) expected[id] -= 0.5 / 4.0;
      EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), expected));
      const auto dense = Words::kWords * Words::kFeatures * static_cast<int64_t>(sizeof(float));
      if (servers == 1 && cluster.rank == 1) {
        EXPECT_LT(strategy.sent_bytes(), dense / 2);
      }
      strategy.ranks().barrier();
      strategy.teardown(model);
    });
  }
}

/// What ParameterServerStrategy says to these settings, and to an optimizer.
std::string refusal(ServerSettings servers, at::Device device = at::kCPU, bool with_lbfgs = false) {
  const auto thrown = run_ranks(1, [&](const Cluster& cluster) {
    ParameterServerStrategy strategy(cluster, device, {}, servers);
    Squares model;
    strategy.setup(model);
    Optimizers optimizers(levin::SGD(model.parameters(), {.learning_rate = 0.1}));
    if (with_lbfgs) optimizers = Optimizers(levin::LBFGS(model.parameters(), {}));
    strategy.shard_optimizers(optimizers);
    EXPECT_EQ(optimizers.entries()[0].optimizer->name(), "SGD");
  });
  return thrown[0];
}

TEST(ParameterServerStrategyTest, refuses_what_servers_cannot_do) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_TRUE(says(refusal({.servers = 2}), {"servers = 2 with 1 rank", "servers = 1 or fewer"}));
  EXPECT_TRUE(says(refusal({}, at::Device("cuda:0")), {"on a GPU", "accelerator = cpu"}));
  EXPECT_TRUE(says(refusal({}, at::kCPU, true), {"LBFGS", "strategy = ddp"}));
}

TEST(ServerLayoutTest, messages_have_every_number_exactly_in_float32_too) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
    const auto weight = torch::arange(7, torch::kFloat).to(type).requires_grad_();
    const FlatParameters flat({weight}, 0, 2);
    const ServerLayout layout(flat, 2, /*groups=*/1, /*tells_used=*/true);
    ServerPush push{.full_rows = 1.0 / 3.0, .max_norm = 1e300};
    push.flags[5] = 1.0;
    push.rates = {0.1, -0.0};
    push.used = {1.0};
    ServerPull pull{.norm = 2.0 / 3.0};
    pull.flags[12] = 16777219.0;
    const auto messages = layout.make_messages();
    layout.put(messages[1], push);
    layout.put(messages[1], pull);
    const auto read = layout.push_in(messages[1]);
    EXPECT_EQ(read.full_rows, push.full_rows);
    EXPECT_EQ(read.max_norm, push.max_norm);
    EXPECT_EQ(read.flags, push.flags);
    EXPECT_EQ(read.rates, push.rates);
    EXPECT_EQ(read.used, push.used);
    const auto answer = layout.pull_in(messages[1]);
    EXPECT_EQ(answer.norm, pull.norm);
    EXPECT_EQ(answer.flags, pull.flags);
    // Gradients there and weights back, in the chunks of two servers.
    auto parameter = flat.parameters()[0];
    parameter.mutable_grad() = 2 * parameter.detach();
    layout.put_gradients(messages);
    layout.take_weights(messages);
    EXPECT_TRUE(
        torch::equal(parameter.detach().to(torch::kFloat), 2 * torch::arange(7, torch::kFloat)));
  }
}

}  // namespace levin::test::parameter_server_strategy_test
