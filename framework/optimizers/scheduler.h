#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

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
};

}  // namespace levin
