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

TEST(LearningRateMonitor, NamesGroupsAsLightningDoes) {
  const auto rows = rows_of(Interval::epoch, true, {});
  EXPECT_FALSE(rows.contains("lr-SGD"));
  EXPECT_EQ(rows.at("lr-SGD/pg1").front().second, 0.5);
  EXPECT_EQ(rows.at("lr-SGD/pg2").front().second, 0.25);
}

}  // namespace levin::test::learning_rate_monitor_test
