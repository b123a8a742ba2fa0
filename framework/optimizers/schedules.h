#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <levin/framework/logged/logged_values.h>
#include <levin/framework/optimizers/optimizers.h>

namespace levin {

/// Sets the learning rates of a run. It counts epochs and steps for each scheduler, and gives each
/// parameter group the rate that the optimizer's schedulers, one after another, make from the
/// group's base rate. The fit loop calls it; users give their schedulers to `Optimizers`:
///
///     Schedules schedules(optimizers);
///     schedules.apply();                              // before the first step
///     schedules.advance(Interval::step);              // after each optimizer step
///     if (schedules.watches(Interval::epoch)) schedules.observe(Interval::epoch, metrics);
///
/// A scheduler with a frequency of n sees a counter that grows by 1 every n epochs or steps. All
/// calls come from the thread that trains; none waits for a device.
class Schedules {
 public:
  /// What messages about a metric call a scheduler that watches it.
  static constexpr const char* kWho = "a learning rate scheduler";

  /// All counters start at 0. `optimizers` must outlive the object, and gets no further optimizers
  /// or schedulers during its life.
  explicit Schedules(Optimizers& optimizers);

  /// Calls `stepper` each time a scheduler is due, in place of `ScheduleStep::step`.
  void set_stepper(std::function<void(ScheduleStep&)> stepper) { stepper_ = std::move(stepper); }
  /// Sets the rates that belong to the present counters, when training starts. Optimizers without a
  /// scheduler keep theirs.
  void apply();
  /// Counts an epoch or step that has passed, for the schedulers of that interval that don't watch
  /// a metric. The rates change if one of them is due.
  void advance(Interval interval);
  /// Counts a step of that optimizer alone, if a module steps several by hand.
  void advance_step_of(const Optimizer& optimizer);
  /// The same for the schedulers that watch a metric: each that is due gets its metric's value from
  /// `metrics`, if that is a new one. `updates` says how many times each metric has got a value so
  /// far (Run::updates_of); a scheduler for which that number is still the one that it saw last is
  /// passed over. If it is null, every value is new.
  ///
  /// `complete` says that every metric that this fit logs has been logged by now. If one isn't
  /// there all the same, a strict scheduler throws ModuleError, which names the nearest that is;
  /// others are passed over.
  void observe(Interval interval, const MetricMap& metrics, const UpdateCounts* updates = nullptr,
               bool complete = true);
  /// Whether there is any scheduler of that interval.
  bool acts(Interval interval) const;
  /// Whether any scheduler of that interval watches a metric, so that `observe` is needed.
  bool watches(Interval interval) const;
  /// Whether the next call of `observe` for that interval reads any metric. If not, it only counts.
  /// A metric that comes from validation, and not from training as well, is read only if a
  /// validation has logged it since `observe` read it last. All ranks get the same answer.
  bool reads_next(Interval interval) const;
  /// Takes note of the metrics that a validation has logged, combined over all ranks.
  void note_validation(const MetricMap& metrics);
  /// The metrics that schedulers watch; with `never_seen` only those of which their scheduler
  /// hasn't got any value although it was due.
  std::vector<std::string> monitors(bool never_seen = false) const;

  /// The counters and the schedulers' own states, numbered in the order of the optimizers. Loading
  /// them sets the learning rates too, and throws CheckpointError if the number of schedulers
  /// differs. A scheduler that watches another metric than the saved one begins anew. One that acts
  /// in another interval counts on from `epochs` or `steps`, those that had passed when the state
  /// was saved.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state, int64_t epochs = 0, int64_t steps = 0);

 private:
  /// A scheduler with its counter and the optimizer that it belongs to.
  struct Item {
    Optimizer* optimizer;
    SchedulerConfig* config;
    int64_t counter = 0;           // epochs or steps passed
    int64_t shift = 0;             // added to the counter's steps by Module::lr_scheduler_step
    int64_t updates = 0;           // of the metric, when the scheduler saw it last
    bool has_seen = false;         // any value of the metric
    int64_t validations = 0;       // that have logged the metric since it was read last
    bool from_validation = false;  // a validation has logged the metric
    bool from_training = false;    // the metric gets values in training, too
    int64_t steps() const { return counter / config->frequency + shift; }
    bool can_be_new() const { return validations > 0 || from_training || !from_validation; }
  };
  /// Counts an epoch or step, and lets the scheduler step if it is due, which is returned.
  bool count(Item& item);
  /// Lets a scheduler that is due step.
  void step(Item& item, std::optional<double> metric = {});
  /// Sets the rates of one optimizer's groups.
  void apply_to(const Optimizers::Entry& entry) const;

  Optimizers& optimizers_;
  std::vector<Item> items_;
  std::function<void(ScheduleStep&)> stepper_;  // empty: each scheduler that is due steps
};

}  // namespace levin
