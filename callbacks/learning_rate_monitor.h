#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <optional>
#include <string>
#include <vector>

namespace levin {

struct LearningRateMonitorOptions {
  /// "step" or "epoch"; nothing: as often as the optimizer's schedulers change it.
  std::optional<std::string> logging_interval{};
};

Fields describe(LearningRateMonitorOptions& options);

/// Logs learning rates as `lr-Adam`; with several groups `lr-Adam/pg1`, `lr-Adam/pg2` ..., a second
/// optimizer of that class as `lr-Adam-1`. A step's value is the rate that step was made with; an
/// epoch's the one it started with. Lightning: LearningRateMonitor.
class LearningRateMonitor : public Callback {
 public:
  using Options = LearningRateMonitorOptions;
  /// Throws ConfigError for another interval.
  explicit LearningRateMonitor(LearningRateMonitorOptions options = {});

  std::string state_key() const override { return "LearningRateMonitor"; }
  void on_train_start(Run& run) override;
  void on_train_epoch_start(Run& run) override;
  void on_before_optimizer_step(Optimizer& optimizer, Step& step) override;
  void on_train_end(Run& run) override;

 private:
  /// One group of one optimizer.
  struct Rate {
    std::string name;
    const Optimizer* optimizer;
    size_t group;
  };
  LearningRateMonitorOptions options_;
  std::vector<Rate> by_step_;
  std::vector<Rate> by_epoch_;
};

}  // namespace levin
