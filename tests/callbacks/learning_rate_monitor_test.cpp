#include <levin/callbacks/learning_rate_monitor.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loggers/logger.h>

#include "callbacks/fixture.h"

namespace levin::test::learning_rate_monitor_test {

/// Keeps the rows it gets.
class Rows : public Logger {
 public:
  using Options = Value;
  explicit Rows(const Value&) {}
  void start(Run&) override {}
  void log_metrics(const MetricMap& metrics, int64_t, int64_t step) override {
    for (const auto& [name, value] : metrics) values[name].emplace_back(step, value);
  }
  std::string state_key() const override { return "Rows"; }
  std::map<std::string, std::vector<std::pair<int64_t, double>>> values;
};

/// Two groups of parameters, and a rate that falls by half after each step or epoch.
class TwoGroups : public Classifier {
 public:
  explicit TwoGroups(Interval interval, bool two_groups) : interval_(interval), two_(two_groups) {}
  Optimizers configure_optimizers() override {
    auto all = parameters();
    std::vector<torch::optim::OptimizerParamGroup> groups;
    if (two_) {
      groups.emplace_back(std::vector<torch::Tensor>{all.back()},
                          std::make_unique<torch::optim::SGDOptions>(0.25));
      all.pop_back();
    }
    groups.insert(groups.begin(), torch::optim::OptimizerParamGroup(all));
    return {std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(0.5)),
            ExponentialLR({.gamma = 0.5}),
            {.interval = interval_}};
  }

 private:
  Interval interval_;
  bool two_;
};

using Points = std::vector<std::pair<int64_t, double>>;

std::map<std::string, Points> rows_of(Interval interval, bool two_groups,
                                      LearningRateMonitorOptions options) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  TwoGroups model(interval, two_groups);
  Trainer trainer({.max_epochs = 2, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add<LearningRateMonitor>(std::move(options));
  auto& rows = trainer.add_logger<Rows>();
  trainer.fit(model, data);
  return rows.values;
}

TEST(LearningRateMonitor, LogsTheRateEachStepWasMadeWith) {
  const auto rows = rows_of(Interval::step, false, {});
  EXPECT_EQ(rows.at("lr-SGD"), (Points{{0, 0.5}, {1, 0.25}, {2, 0.125}, {3, 0.0625}}));
}

TEST(LearningRateMonitor, LogsTheRateEachEpochStartedWith) {
  const auto rows = rows_of(Interval::epoch, false, {});
  EXPECT_EQ(rows.at("lr-SGD"), (Points{{1, 0.5}, {3, 0.25}}));
}

TEST(LearningRateMonitor, TheIntervalMayBeChosen) {
  const auto rows = rows_of(Interval::epoch, false, {.logging_interval = "step"});
  EXPECT_EQ(rows.at("lr-SGD").size(), 4U);
  EXPECT_EQ(rows_of(Interval::step, false, {.logging_interval = "epoch"}).at("lr-SGD").size(), 2U);
  EXPECT_THROW(LearningRateMonitor({.logging_interval = "batch"}), ConfigError);
}

TEST(LearningRateMonitor, ANameOfTheSchedulerTakesThePlaceOfTheOptimizers) {
  class Named : public Classifier {
    Optimizers configure_optimizers() override {
      return {SGD(parameters(), {.learning_rate = 0.5}),
              ExponentialLR({.gamma = 0.5}),
              {.name = "rate of the head"}};
    }
  } model;
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Trainer trainer({.max_epochs = 1, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add<LearningRateMonitor>();
  trainer.fit(model, data);
  EXPECT_EQ(trainer.run().metrics().at("rate of the head"), 0.5);
  EXPECT_FALSE(trainer.run().metrics().contains("lr-SGD"));
}

TEST(LearningRateMonitor, NamesGroupsAsLightningDoes) {
  const auto rows = rows_of(Interval::epoch, true, {});
  EXPECT_FALSE(rows.contains("lr-SGD"));
  EXPECT_EQ(rows.at("lr-SGD/pg1").front().second, 0.5);
  EXPECT_EQ(rows.at("lr-SGD/pg2").front().second, 0.25);
}

/// The values of an epoch that a monitor of everything logs for this optimizer.
template <class O>
std::map<std::string, Points> all_of(O (*make)(std::vector<torch::Tensor>)) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 1, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.set_optimizers([&](Module& module) { return Optimizers(make(module.parameters())); });
  trainer.add<LearningRateMonitor>({.log_momentum = true, .log_weight_decay = true});
  auto& rows = trainer.add_logger<Rows>();
  trainer.fit(model, data);
  return rows.values;
}

TEST(LearningRateMonitor, LogsMomentumAndWeightDecayWhereAsked) {
  auto rows = all_of<SGD>([](std::vector<torch::Tensor> all) {
    return SGD(std::move(all), {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.25});
  });
  EXPECT_EQ(rows.at("lr-SGD"), (Points{{1, 0.1}}));
  EXPECT_EQ(rows.at("lr-SGD-momentum"), (Points{{1, 0.9}}));
  EXPECT_EQ(rows.at("lr-SGD-weight_decay"), (Points{{1, 0.25}}));
  rows = all_of<Adam>([](std::vector<torch::Tensor> all) {
    return Adam(std::move(all), {.betas = {0.8, 0.9}});
  });
  EXPECT_EQ(rows.at("lr-Adam-momentum"), (Points{{1, 0.8}})) << "the first of betas";
  rows = all_of<Adagrad>([](std::vector<torch::Tensor> all) { return Adagrad(std::move(all)); });
  EXPECT_EQ(rows.at("lr-Adagrad-momentum"), (Points{{1, 0.0}})) << "it has none";
  using Wrapped = std::unique_ptr<torch::optim::Optimizer>;
  rows = all_of<Wrapped>([](std::vector<torch::Tensor> all) -> Wrapped {
    return std::make_unique<torch::optim::SGD>(
        all, torch::optim::SGDOptions(0.1).momentum(0.5).weight_decay(0.125));
  });
  EXPECT_EQ(rows.at("lr-SGD-momentum"), (Points{{1, 0.5}}));
  EXPECT_EQ(rows.at("lr-SGD-weight_decay"), (Points{{1, 0.125}}));
  EXPECT_EQ(rows_of(Interval::epoch, false, {}).count("lr-SGD-momentum"), 0U);
}

}  // namespace levin::test::learning_rate_monitor_test
