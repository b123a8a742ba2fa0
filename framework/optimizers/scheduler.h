#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Optimizer;

/// What a scheduler counts: completed epochs or optimizer steps.
enum class Interval { epoch, step };

/// The learning rate as a function of a counter of epochs or steps.
///
/// A scheduler multiplies the optimizer's configured ("base") learning rate by `factor(counter)`.
/// It has no state, so a resumed run needs the counter alone; ReduceLROnPlateau, which watches a
/// metric, is the one exception. A scheduler of your own overrides one function:
///
///     class InverseSqrtLR : public levin::Scheduler {
///      public:
///       double factor(int64_t counter) const override { return 1 / std::sqrt(1.0 + counter); }
///     };
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// What the base learning rate is multiplied by after `counter` epochs or steps.
  virtual double factor(int64_t counter) const = 0;
  /// The learning rate after `counter` epochs or steps of a parameter group that was configured
  /// with `base_learning_rate`. Override it for a schedule that is no multiple of the base rate. If
  /// an optimizer has several schedulers they are chained: the rate that one returns is the base
  /// rate of the next.
  virtual double learning_rate(double base_learning_rate, int64_t counter) const {
    return base_learning_rate * factor(counter);
  }

  /// Whether the scheduler watches a metric. If it does, `observe` is called with the metric's new
  /// value each time the scheduler acts, before the learning rates are set.
  virtual bool needs_metric() const { return false; }
  virtual void observe(double /*metric*/) {}

  /// Returns what a checkpoint keeps besides the counter; `load_state_dict` gives it back to a
  /// scheduler made with the same options.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

/// A scheduler together with when it acts. Lightning: the lr_scheduler configuration that
/// configure_optimizers returns.
struct SchedulerConfig {
  std::unique_ptr<Scheduler> scheduler;
  Interval interval = Interval::epoch;
  /// The scheduler acts every `frequency` epochs or steps; at least 1.
  int64_t frequency = 1;
  /// The name of the logged metric that ReduceLROnPlateau watches, such as "val_loss".
  std::string monitor{};
  /// Whether it is an error (true) or ignored (false) if `monitor` wasn't logged.
  bool strict = true;
  /// What LearningRateMonitor calls the optimizer's learning rate; by default, it is `lr-` and the
  /// name of the optimizer's class.
  std::string name{};
};

/// A scheduler that is due, as Module::lr_scheduler_step gets it.
///
///     void lr_scheduler_step(levin::ScheduleStep& schedule) override {
///       if (!is_warming_up_) schedule.step();
///     }
class ScheduleStep {
 public:
  /// `next` is the number of steps that the scheduler has made if it makes this one; `metric` is
  /// the new value of the metric that it watches, if it watches one.
  ScheduleStep(SchedulerConfig& config, Optimizer& optimizer, int64_t next,
               std::optional<double> metric = {})
      : config_(config),
        optimizer_(optimizer),
        before_(next - 1),
        now_(next - 1),
        metric_(metric) {}

  /// Lets the scheduler count on, or, if it watches a metric, see the new value of it.
  void step() {
    now_ = before_ + 1;
    if (metric_) config_.scheduler->observe(*metric_);
  }
  /// Moves the scheduler to where it is after `counter` steps (Scheduler::factor).
  void step_to(int64_t counter) { now_ = counter; }

  Scheduler& scheduler() const { return *config_.scheduler; }
  /// The interval, the name and the other settings of the scheduler.
  const SchedulerConfig& config() const { return config_; }
  /// The optimizer whose learning rate it sets.
  Optimizer& optimizer() const { return optimizer_; }
  std::optional<double> metric() const { return metric_; }
  /// How many steps the scheduler has made by now.
  int64_t counter() const { return now_; }

 private:
  SchedulerConfig& config_;
  Optimizer& optimizer_;
  int64_t before_;
  int64_t now_;
  std::optional<double> metric_;
};

}  // namespace levin
