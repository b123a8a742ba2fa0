#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <optional>
#include <string>
#include <vector>

namespace levin {

/// Options of LearningRateMonitor.
struct LearningRateMonitorOptions {
  /// How often to log: "step" or "epoch". By default, each optimizer's learning rate is logged as
  /// often as its schedulers may change it, which is every epoch if it has none.
  std::optional<std::string> logging_interval{};
  /// Also log each group's momentum, as `lr-SGD-momentum`: `momentum` or the first of `betas`; 0 if
  /// the optimizer has none.
  bool log_momentum = false;
  /// Also log each group's weight decay, as `lr-SGD-weight_decay`.
  bool log_weight_decay = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(LearningRateMonitorOptions& options);

/// Logs the optimizers' learning rates, so that loggers show what the schedulers do. Lightning:
/// LearningRateMonitor.
///
///     trainer.add<levin::LearningRateMonitor>({.logging_interval = "step"});
///
/// The metric is named after the optimizer's class, for example `lr-Adam`. If the optimizer has
/// several parameter groups, there is one metric for each: `lr-Adam/pg1`, `lr-Adam/pg2` and so on.
/// A second optimizer of the same class is `lr-Adam-1`. If a scheduler of the optimizer has a name
/// (ScheduleOptions::name), that takes the place of `lr-Adam`. The value of a step is the learning
/// rate that the step used; the value of an epoch is the one with which it began.
///
/// The rates are read on the host, so logging them doesn't wait for a device.
class LearningRateMonitor : public Callback {
 public:
  using Options = LearningRateMonitorOptions;
  /// Throws ConfigError if `logging_interval` is neither "step" nor "epoch".
  explicit LearningRateMonitor(LearningRateMonitorOptions options = {});

  /// Chooses the metrics' names. Groups that are added later aren't logged.
  void on_train_start(Run& run) override;
  /// Logs the rates that are due once for each epoch.
  void on_train_epoch_start(Run& run) override;
  /// Logs the rates of that optimizer that are due at each step.
  void on_before_optimizer_step(Optimizer& optimizer, Step& step) override;
  /// Forgets the optimizers, which end with the fit.
  void on_train_end(Run& run) override;

 private:
  /// The learning rate of one parameter group of one optimizer.
  struct Rate {
    std::string name;  // of the metric
    const Optimizer* optimizer;
    size_t group;
    std::string momentum_name;
    std::string weight_decay_name;
  };
  std::optional<double> momentum_of(const Rate& rate) const;
  /// Calls `log(name, value)` for what is to be logged of this group.
  template <class Log>
  void log_all(const Rate& rate, const Log& log) const;

  LearningRateMonitorOptions options_;
  std::vector<Rate> by_step_;   // logged before each optimizer step
  std::vector<Rate> by_epoch_;  // logged at the start of each epoch
};

}  // namespace levin
