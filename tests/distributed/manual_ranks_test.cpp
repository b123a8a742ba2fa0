// Modules that optimize by hand, on several ranks.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/strategies/single_device.h>

#include "distributed/ranks_as_threads.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::manual_ranks_test {

using test::as_ranks;
using test::message_of;
using test::same_bits;
using test::says;

/// Two networks that play against each other, as in a GAN. What is drawn follows from the batch, so
/// that it is the same on any number of ranks.
class Players : public Module {
 public:
  Players()
      : judge_(register_module("judge", torch::nn::Linear(4, 1))),
        painter_(register_module("painter", torch::nn::Linear(4, 4))) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) {
      parameter.copy_(torch::linspace(-0.5, 0.4, parameter.numel()).view(parameter.sizes()));
    }
  }
  bool automatic_optimization() const override { return false; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto drawn = painter_(torch::cos(3.0 * batch.input()));
    auto loss = share * (torch::softplus(-judged(batch.input())).mean() +
                         torch::softplus(judged(drawn.detach())).mean());
    if (overflows) loss = loss + judge_->bias.sum() * std::numeric_limits<double>::infinity();
    step.zero_grad(0);
    step.backward(loss);
    norms.push_back(step.clip_gradients(0, 0.2).item<double>());
    step.step(0);
    if (toggles) step.toggle(1);  // otherwise the judge gets gradients that nobody uses
    step.backward(share * torch::softplus(-judged(drawn)).mean() / 2.0);
    if (++batches_ % 2 == 0) {  // by the gradients of two batches
      step.step(1);
      step.zero_grad(1);
    }
    return loss;
  }
  Optimizers configure_optimizers() override {
    Optimizers both(SGD(judge_->parameters(), {.learning_rate = 0.3, .momentum = 0.9}));
    both.add(std::make_unique<Adam>(painter_->parameters(), AdamOptions{.learning_rate = 0.1}));
    return both;
  }
  double share = 1.0;  // of the losses
  bool toggles = true;
  bool overflows = false;
  std::vector<double> norms;

 private:
  /// In float32 if the judge computes in float16, in which the scale of a loss would be infinite.
  torch::Tensor judged(const torch::Tensor& points) {
    const auto output = judge_(points);
    return output.scalar_type() == torch::kHalf ? output.to(torch::kFloat) : output;
  }

  torch::nn::Linear judge_;
  torch::nn::Linear painter_;
  int64_t batches_ = 0;
};

struct Outcome {
  std::vector<int64_t> steps;
  std::vector<double> norms;
  StateDict weights;
};

Outcome train(Strategy& strategy, const char* precision, bool toggles, bool overflows) {
  const int64_t rank = strategy.ranks().rank();
  const int64_t size = strategy.ranks().size();
  Players module;
  module.toggles = toggles;
  // Small enough for float16, whatever part of a batch a rank has.
  if (std::string(precision) == "16-mixed") module.share = 0.1;
  test::PointsModule data{8, {.batch_size = 8}};
  const HookList hooks;
  const std::vector<Callback*> callbacks;
  const std::vector<Logger*> loggers;
  const TrainerOptions options;
  RunControl run;
  LoopParts parts{module, data, strategy, hooks, callbacks, loggers, options, run};
  parts.precision = Precision(precision);
  parts.precision.convert(module);
  strategy.setup(module);
  auto optimizers = module.configure_optimizers();
  TrainingStep training_step(parts, optimizers);
  LoggedValues metrics;
  StepControl step(run, metrics, /*on_step=*/true);
  Outcome outcome;
  for (int64_t i = 0; i < 12; ++i) {
    const int64_t rows = i % 3 == 2 ? 7 : 12;  // ranks don't have equally many
    const auto points = test::make_points(rows, static_cast<uint64_t>(i));
    Batch batch({{"input", points.input.slice(0, rank, {}, size)},
                 {"target", points.target.slice(0, rank, {}, size)}});
    parts.precision.convert(batch);
    module.overflows = overflows && rank == size - 1 && i == 4;
    training_step.run(batch, step, rows, /*window_ends=*/true);
    outcome.steps.push_back(run.global_step());
  }
  outcome.norms = module.norms;
  outcome.weights = module.state_dict().clone();
  strategy.teardown(module);
  return outcome;
}

void expect_as_one_process(const char* precision, bool toggles, bool overflows, double tolerance) {
  SingleDeviceStrategy alone(torch::kCPU);
  const Outcome expected = train(alone, precision, toggles, overflows);
  EXPECT_EQ(expected.steps.back(), overflows ? 17 : 18);
  for (const int64_t size : {2, 3}) {
    SCOPED_TRACE(size);
    std::vector<Outcome> outcomes(static_cast<size_t>(size));
    as_ranks(size, [&](const Cluster& cluster) {
      DataParallelStrategy strategy(cluster, torch::kCPU);
      outcomes[static_cast<size_t>(cluster.rank)] = train(strategy, precision, toggles, overflows);
      strategy.ranks().barrier();
    });
    for (const auto& outcome : outcomes) {
      EXPECT_EQ(outcome.steps, expected.steps);
      for (size_t i = 0; i < expected.norms.size() && !overflows; ++i) {
        EXPECT_NEAR(outcome.norms[i], expected.norms[i], tolerance);
      }
      for (const auto& [name, tensor] : outcome.weights.tensors) {
        EXPECT_TRUE(same_bits(tensor, outcomes[0].weights.tensor(name))) << name;
        EXPECT_LE((tensor - expected.weights.tensor(name)).abs().max().item<double>(), tolerance)
            << name;
      }
    }
  }
}

TEST(ManualRanks, equal_one_process) {
  for (const bool toggles : {true, false}) {
    SCOPED_TRACE(toggles);
    expect_as_one_process("64-true", toggles, /*overflows=*/false, 1e-12);
  }
}

TEST(ManualRanks, leave_out_the_same_steps_if_the_gradients_of_one_are_not_finite) {
  expect_as_one_process("16-mixed", /*toggles=*/true, /*overflows=*/true, 0.005);
}

TEST(ManualRanks, leave_out_a_batch_of_which_some_have_no_row) {
  as_ranks(2, [&](const Cluster& cluster) {
    DataParallelStrategy strategy(cluster, torch::kCPU);
    Players module;
    test::PointsModule data{8, {.batch_size = 8}};
    const HookList hooks;
    const std::vector<Callback*> callbacks;
    const std::vector<Logger*> loggers;
    const TrainerOptions options;
    RunControl run;
    run.set_ranks(strategy.ranks());
    const LoopParts parts{module, data, strategy, hooks, callbacks, loggers, options, run};
    strategy.setup(module);
    auto optimizers = module.configure_optimizers();
    TrainingStep training_step(parts, optimizers);
    LoggedValues metrics;
    StepControl step(run, metrics, /*on_step=*/true);
    const auto points = test::make_points(1);
    const Batch batch({{"input", points.input.slice(0, cluster.rank, {}, 2)},
                       {"target", points.target.slice(0, cluster.rank, {}, 2)}});
    EXPECT_FALSE(training_step.run(batch, step, 1, /*window_ends=*/true));
    EXPECT_TRUE(module.norms.empty());
    EXPECT_FALSE(training_step.loss().defined());
    strategy.ranks().barrier();
    strategy.teardown(module);
  });
}

TEST(ManualRanks, are_refused_by_strategies_that_shard_the_optimizers) {
  as_ranks(2, [&](const Cluster& cluster) {
    ShardedStrategy strategy(cluster, torch::kCPU, ShardedOptions{.stage = 1});
    Players module;
    strategy.setup(module);
    const auto optimizers = module.configure_optimizers();
    EXPECT_TRUE(
        says(message_of<ConfigError>([&] { strategy.sum_by_optimizer(module, optimizers); }),
             {"by hand", "strategy = ddp"}));
    strategy.teardown(module);
    strategy.ranks().barrier();
  });
}

}  // namespace levin::manual_ranks_test
