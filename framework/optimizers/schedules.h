#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/logged/logged_values.h>
#include <levin/framework/optimizers/optimizers.h>

namespace levin {

/// Sets the learning rates of a run. It counts epochs and steps for each scheduler, and gives each
/// parameter group the rate that the optimizer's schedulers, one after another, make from the
/// group's base rate. The loop calls it; users give their schedulers to `Optimizers`.
class Schedules {
 public:
  /// All counters start at 0. `optimizers` must outlive the object.
  explicit Schedules(Optimizers& optimizers);

  /// Sets the rates that belong to the present counters: when training starts.
  void apply();
  /// Counts an epoch or step that has passed, and moves the rates. Concerns the schedulers of that
  /// interval that don't watch a metric.
  void advance(Interval interval);
  /// The same for those that do: each gets its metric's value from `metrics`. Throws ModuleError if
  /// the metric of a strict scheduler isn't there, naming the nearest that is.
  void observe(Interval interval, const MetricMap& metrics);
  /// Whether any scheduler of that interval watches a metric, so that `observe` is needed.
  bool watches(Interval interval) const;

  /// The counters and the schedulers' own states, and back. Loading sets the rates too; it throws
  /// CheckpointError for another number of schedulers.
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
