// Precision over ranks: they leave out the same steps, whoever's gradients aren't finite, and train
// on numbers of two bytes.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/loops/training_step.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/strategies/single_device.h>

#include "distributed/ranks_as_threads.h"
#include "framework/support.h"

namespace levin::precision_ranks_test {

using test::as_ranks;
using test::same_bits;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Classifies points; it begins with the same weights in every thread.
class Net : public Module {
 public:
  Net()
      : hidden_(register_module("hidden", torch::nn::Linear(4, 7))),
        output_(register_module("output", torch::nn::Linear(7, 3))) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) {
      parameter.copy_(torch::linspace(-0.5, 0.4, parameter.numel()).view(parameter.sizes()));
    }
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    const auto logits = output_(torch::tanh(hidden_(batch.input()))).to(torch::kFloat);
    const auto loss = torch::cross_entropy_loss(logits, batch.target());
    // Only the gradient of this one parameter is infinite.
    return overflows ? loss + output_->bias.sum() * kInfinity : loss;
  }
  Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = 0.1, .momentum = 0.9});
  }
  bool overflows = false;

 private:
  torch::nn::Linear hidden_;
  torch::nn::Linear output_;
};

/// What a rank has after ten windows of two batches.
struct Outcome {
  std::vector<bool> counted;
  std::vector<double> scales;
  StateDict weights;
};

Outcome train(Strategy& strategy, const char* precision, bool overflows) {
  const int64_t rank = strategy.ranks().rank();
  const int64_t size = strategy.ranks().size();
  Net module;
  test::PointsModule data{8, {.batch_size = 8}};
  const HookList hooks;
  const std::vector<Callback*> callbacks;
  const std::vector<Logger*> loggers;
  TrainerOptions options;
  options.accumulate_grad_batches = 2;
  options.gradient_clip_val = 0.5;
  RunControl run;
  LoopParts parts{module, data, strategy, hooks, callbacks, loggers, options, run};
  parts.precision = Precision(precision);
  parts.precision.convert(module);
  strategy.setup(module);
  auto optimizers = module.configure_optimizers();
  strategy.shard_optimizers(optimizers);
  TrainingStep training_step(parts, optimizers);
  LoggedValues metrics;
  StepControl step(run, metrics, /*on_step=*/true);
  Outcome outcome;
  for (int64_t i = 0; i < 20; ++i) {
    const auto points = test::make_points(12, static_cast<uint64_t>(i));
    Batch batch({{"input", points.input.slice(0, rank, {}, size)},
                 {"target", points.target.slice(0, rank, {}, size)}});
    parts.precision.convert(batch);
    // The last rank, in the first batch of the third window and the second one of the sixth.
    module.overflows = overflows && rank == size - 1 && (i == 4 || i == 11);
    const bool ends = i % 2 == 1;
    const bool counts = training_step.run(batch, step, 12, ends);
    if (!ends) continue;
    outcome.counted.push_back(counts);
    if (auto* scaler = training_step.scaler()) outcome.scales.push_back(scaler->current_scale());
  }
  outcome.weights = module.state_dict().clone();
  strategy.teardown(module);
  return outcome;
}

std::unique_ptr<Strategy> make(const Cluster& cluster, int64_t stage) {
  if (stage == 0) return std::make_unique<DataParallelStrategy>(cluster, torch::kCPU);
  return std::make_unique<ShardedStrategy>(cluster, torch::kCPU, ShardedOptions{.stage = stage});
}

std::vector<Outcome> train_on_ranks(int64_t stage, const char* precision, bool overflows) {
  std::vector<Outcome> outcomes(2);
  as_ranks(2, [&](const Cluster& cluster) {
    const auto strategy = make(cluster, stage);
    outcomes[static_cast<size_t>(cluster.rank)] = train(*strategy, precision, overflows);
    strategy->ranks().barrier();
  });
  return outcomes;
}

void expect_near(const Outcome& a, const Outcome& b, double tolerance) {
  for (const auto& [name, tensor] : a.weights.tensors) {
    const auto difference = (tensor - b.weights.tensor(name)).abs().max();
    EXPECT_LE(difference.item<double>(), tolerance) << name;
  }
}

TEST(PrecisionRanks, leave_out_the_same_steps_if_the_gradients_of_one_are_not_finite) {
  SingleDeviceStrategy alone(torch::kCPU);
  const Outcome expected = train(alone, "16-mixed", /*overflows=*/true);
  const std::vector<bool> counted = {true, true, false, true, true, false, true, true, true, true};
  EXPECT_EQ(expected.counted, counted);
  for (const int64_t stage : {0, 1, 2}) {
    SCOPED_TRACE(stage);
    const auto outcomes = train_on_ranks(stage, "16-mixed", /*overflows=*/true);
    for (const auto& outcome : outcomes) {
      EXPECT_EQ(outcome.counted, counted);
      EXPECT_EQ(outcome.scales, expected.scales);
      for (const auto& [name, tensor] : outcome.weights.tensors) {
        EXPECT_TRUE(same_bits(tensor, outcomes[0].weights.tensor(name))) << name;
      }
    }
    expect_near(outcomes[0], expected, 2e-3);
  }
}

TEST(PrecisionRanks, train_in_each_precision_as_one_process_does) {
  for (const char* precision : {"64-true", "bf16-true", "16-true", "bf16-mixed"}) {
    SCOPED_TRACE(precision);
    SingleDeviceStrategy alone(torch::kCPU);
    const Outcome expected = train(alone, precision, /*overflows=*/false);
    const double tolerance = std::string(precision) == "64-true"     ? 1e-12
                             : std::string(precision) == "bf16-true" ? 0.05
                                                                     : 0.01;
    for (const int64_t stage : {0, 1, 2}) {
      SCOPED_TRACE(stage);
      const auto outcomes = train_on_ranks(stage, precision, /*overflows=*/false);
      for (const auto& [name, tensor] : outcomes[1].weights.tensors) {
        EXPECT_TRUE(same_bits(tensor, outcomes[0].weights.tensor(name))) << name;
      }
      expect_near(outcomes[0], expected, tolerance);
    }
  }
}

}  // namespace levin::precision_ranks_test
