#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/framework/core/error.h>

#include <algorithm>

#include "callbacks/counter.h"

namespace levin::test::stochastic_weight_averaging_test {

/// Fits a module, and returns the learning rate of each step.
template <class M>
std::vector<double> rates_of(M& model, StochasticWeightAveragingOptions options, int64_t epochs) {
  TemporaryFolder folder;
  SmallData data;
  Trainer trainer(short_fit(folder, epochs));
  trainer.add<StochasticWeightAveraging>(std::move(options));
  std::vector<double> rates;
  trainer.add<LambdaCallback>({.on_before_optimizer_step = [&](Optimizer& optimizer, Step&) {
    rates.push_back(optimizer.groups().front().learning_rate);
  }});
  trainer.fit(model, data);
  return rates;
}

TEST(StochasticWeightAveraging, LeavesTheMeanOfTheLastEpochsWeights) {
  Counter model;  // 4, then 6 and 8
  rates_of(model, {.swa_lrs = {0.5}, .swa_epoch_start = 2, .annealing_epochs = 0}, 3);
  EXPECT_EQ(model.value(), 7.0);
}

TEST(StochasticWeightAveraging, BeginsAtAShareOfTheEpochs) {
  Counter model;
  const auto rates =
      rates_of(model, {.swa_lrs = {0.5}, .swa_epoch_start = 0.75, .annealing_epochs = 0}, 4);
  EXPECT_EQ(std::count(rates.begin(), rates.end(), 0.5), 8) << "epochs 2 and 3 have 4 steps each";
}

TEST(StochasticWeightAveraging, AnnealsTheRateOverEpochs) {
  Counter model;
  StochasticWeightAveragingOptions options{.swa_lrs = {0.5},
                                           .swa_epoch_start = 1,
                                           .annealing_epochs = 2,
                                           .annealing_strategy = "linear"};
  auto rates = rates_of(model, options, 4);
  for (const auto& [step, rate] : {std::pair(0, 1.0), {3, 1.0}, {4, 0.75}, {8, 0.5}, {15, 0.5}}) {
    EXPECT_EQ(rates.at(static_cast<size_t>(step)), rate) << step;
  }
  Counter other;
  options.annealing_strategy = "cos";
  options.annealing_epochs = 3;
  rates = rates_of(other, options, 4);
  EXPECT_NEAR(rates.at(4), 1.0 - 0.5 * 0.25, 1e-12);  // (1 - cos(pi / 3)) / 2 = 0.25
}

TEST(StochasticWeightAveraging, SchedulersDoNotCountInItsPhase) {
  class Scheduled : public Counter {
   public:
    Optimizers configure_optimizers() override {
      return {SGD(parameters(), {.learning_rate = 1.0}),
              ExponentialLR({.gamma = 0.5}),
              {.interval = Interval::step}};
    }
  };
  Scheduled model;
  const auto rates =
      rates_of(model, {.swa_lrs = {0.25}, .swa_epoch_start = 2, .annealing_epochs = 0}, 2);
  EXPECT_EQ(rates, (std::vector<double>{1.0, 0.5, 0.25, 0.125, 0.25, 0.25, 0.25, 0.25}));
}

TEST(StochasticWeightAveraging, ComputesTheStatisticsOfBatchNormsAnew) {
  class Normed : public Counter {
   public:
    Normed() : norm(register_module("norm", torch::nn::BatchNorm1d(1))) {}
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      ++calls;
      const auto loss = norm(batch.input() + weight).mean() - weight.sum();
      step.log("train_loss", loss, {.on_epoch = true});
      return loss;
    }
    torch::nn::BatchNorm1d norm;
    int calls = 0;
  };
  Normed model;
  rates_of(model, {.swa_lrs = {1.0}, .swa_epoch_start = 1, .annealing_epochs = 0}, 2);
  EXPECT_EQ(model.calls, 3 * 4) << "two epochs, and a pass at the end";
  EXPECT_EQ(model.value(), 6.0);  // of 4 and 8
  // The rows are 0 to 7 in batches of 2, and the weight is added: the means are 6.5, 8.5 ...
  EXPECT_NEAR(model.norm->running_mean.item<double>(), 3.5 + 6.0, 1e-6);
  EXPECT_NEAR(model.norm->running_var.item<double>(), 0.5, 1e-6);
  EXPECT_EQ(model.norm->num_batches_tracked.item<int64_t>(), 4);
  EXPECT_EQ(model.norm->options.momentum(), 0.1) << "put back";
}

TEST(StochasticWeightAveraging, TheModuleIsLeftAloneIfTrainingEndsBeforeThePhase) {
  Counter model;
  rates_of(model, {.swa_lrs = {0.5}, .swa_epoch_start = 9}, 2);
  EXPECT_EQ(model.value(), 8.0);
}

TEST(StochasticWeightAveraging, AFunctionOfOnesOwnMakesTheAverage) {
  TemporaryFolder folder;
  SmallData data;
  Counter model;  // 4, then 6 and 8
  Trainer trainer(short_fit(folder, 3));
  auto& swa = trainer.add<StochasticWeightAveraging>(
      {.swa_lrs = {0.5}, .swa_epoch_start = 1, .annealing_epochs = 0, .device = "cpu"});
  std::vector<int64_t> counts;
  swa.set_avg_fn([&](const torch::Tensor& old, const torch::Tensor& own, int64_t count) {
    counts.push_back(count);
    return 0.25 * old + 0.75 * own;
  });
  trainer.fit(model, data);  // 2, 4 and 6
  EXPECT_EQ(counts, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(model.value(), 0.25 * (0.25 * 2.0 + 0.75 * 4.0) + 0.75 * 6.0);
  EXPECT_EQ(swa.updates(), 3);
}

TEST(StochasticWeightAveraging, RefusesOptionsThatCannotBe) {
  using Options = StochasticWeightAveragingOptions;
  for (const Options& options :
       {Options{}, Options{.swa_lrs = {-1.0}}, Options{.swa_lrs = {1.0}, .swa_epoch_start = 0},
        Options{.swa_lrs = {1.0}, .swa_epoch_start = 1.5},
        Options{.swa_lrs = {1.0}, .annealing_epochs = -1},
        Options{.swa_lrs = {1.0}, .annealing_strategy = "steep"},
        Options{.swa_lrs = {1.0}, .device = "attic"}}) {
    EXPECT_THROW(StochasticWeightAveraging{options}, ConfigError);
  }
  Counter model;
  EXPECT_THROW(rates_of(model, {.swa_lrs = {0.5, 0.5}}, 2), ConfigError) << "one group";
}

}  // namespace levin::test::stochastic_weight_averaging_test
