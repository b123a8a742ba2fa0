#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

class SchedulerList;

/// Options of SequentialLR for configurations, which name the schedules.
struct SequentialLROptions {
  /// See SequentialLR's first constructor. Must be given.
  std::vector<int64_t> milestones{};
  /// The schedules by their names in the list of schedulers, with their settings. Must be given.
  std::vector<NamedSettings> schedulers{};
};
Fields describe(SequentialLROptions& options);

/// One schedule after another; each one counts from 0 when its turn comes. Five epochs of warm-up,
/// then a cosine:
///
///     levin::SequentialLR({5}, levin::LinearLR({.total_iters = 5}),
///                         levin::CosineAnnealingLR({.T_max = 95}))
///
/// or in YAML:
///
///     lr_scheduler:
///       class_path: SequentialLR
///       init_args:
///         milestones: [5]
///         schedulers:
///           - {class_path: LinearLR, init_args: {total_iters: 5}}
///           - {class_path: CosineAnnealingLR, init_args: {T_max: 95}}
///
/// PyTorch: SequentialLR.
class SequentialLR : public Scheduler {
 public:
  using Options = SequentialLROptions;
  /// `milestones[i]` is the counter at which schedule i + 1 takes over, so there is one milestone
  /// less than there are schedules. Throws ConfigError for another number of them, milestones that
  /// don't increase, null, and a schedule that watches a metric.
  SequentialLR(std::vector<int64_t> milestones, std::vector<std::unique_ptr<Scheduler>> schedulers);
  /// The same with schedules by value, of any classes.
  template <std::derived_from<Scheduler>... S>
  requires(sizeof...(S) > 0) explicit SequentialLR(std::vector<int64_t> milestones, S... schedulers)
      : SequentialLR(std::move(milestones), list(std::move(schedulers)...)) {}
  /// The same with schedules by their names in `known` or, without it, in shipped_schedulers().
  /// Throws ConfigError for an unknown name or setting, too.
  SequentialLR(const SequentialLROptions& options, const SchedulerList& known);
  explicit SequentialLR(const SequentialLROptions& options);
  /// Both functions ask the schedule whose turn it is, with that schedule's own counter.
  double factor(int64_t counter) const override;
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  template <class... S>
  static std::vector<std::unique_ptr<Scheduler>> list(S... schedulers) {
    std::vector<std::unique_ptr<Scheduler>> result;
    (result.push_back(std::make_unique<S>(std::move(schedulers))), ...);
    return result;
  }
  /// The schedule whose turn it is, and its own counter.
  std::pair<const Scheduler*, int64_t> at(int64_t counter) const;

  std::vector<int64_t> milestones_;
  std::vector<std::unique_ptr<Scheduler>> schedulers_;
};

}  // namespace levin
