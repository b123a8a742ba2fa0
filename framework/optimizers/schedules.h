#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/logged/logged_values.h>
#include <levin/framework/optimizers/optimizers.h>

namespace levin {

/// Moves the learning rates of a run: counts epochs and steps for each scheduler, and sets each
/// group's rate to what its schedulers make of its base rate, one after another.
class Schedules {
 public:
  explicit Schedules(Optimizers& optimizers);

  /// Sets the rates for the counters as they are (start of training, after a resume).
  void apply();
  /// An epoch or step has passed: counts it for the schedulers of that interval without a metric.
  void advance(Interval interval);
  /// The same for those that watch a metric. Throws ModuleError where a strict one's monitor is
  /// missing in `metrics`.
  void observe(Interval interval, const MetricMap& metrics);
  /// Whether a scheduler of that interval watches a metric.
  bool watches(Interval interval) const;

  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);

 private:
  struct Item {
    Optimizer* optimizer;
    SchedulerConfig* config;
    int64_t counter = 0;  // epochs or steps passed
  };
  void apply_to(const Optimizers::Entry& entry) const;

  Optimizers& optimizers_;
  std::vector<Item> items_;
};

}  // namespace levin
