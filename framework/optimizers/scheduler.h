#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// When a scheduler's counter goes up.
enum class Interval { epoch, step };

/// A learning rate as a function of a counter, by default base rate times `factor(counter)`.
/// Stateless, so resuming needs the counter alone; plateau is the one with state.
class Scheduler {
 public:
  virtual ~Scheduler() = default;
  /// What the base learning rate is multiplied by after `counter` epochs or steps.
  virtual double factor(int64_t counter) const = 0;
  /// The learning rate after `counter` epochs or steps of a group that was configured with
  /// `base_learning_rate`. Several schedulers of one optimizer are chained: the rate that one gives
  /// is the base of the next.
  virtual double learning_rate(double base_learning_rate, int64_t counter) const {
    return base_learning_rate * factor(counter);
  }
  /// Whether it watches a metric.
  virtual bool needs_metric() const { return false; }
  /// The watched metric's new value. Only called where `needs_metric()`.
  virtual void observe(double /*metric*/) {}
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

/// A scheduler with when it acts. Lightning: the lr_scheduler config.
struct SchedulerConfig {
  std::unique_ptr<Scheduler> scheduler;
  Interval interval = Interval::epoch;
  /// Acts every that many epochs or steps.
  int64_t frequency = 1;
  /// The metric a plateau scheduler watches.
  std::string monitor{};
  /// Whether a missing monitor is an error.
  bool strict = true;
};

}  // namespace levin
