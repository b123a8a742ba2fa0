#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

/// Learning-rate schedules that are functions of a counter alone, under PyTorch's names. A schedule
/// is given to the Trainer with an optimizer, and counts epochs unless it is told to count steps:
///
///     levin::Optimizers configure_optimizers() override {
///       return {levin::SGD(parameters(), {.learning_rate = 0.1}),
///               levin::CosineAnnealingLR({.T_max = 1000}),
///               {.interval = levin::Interval::step}};
///     }
///
/// or in YAML:
///
///     optimizer: {class_path: SGD, init_args: {learning_rate: 0.1}}
///     lr_scheduler: {class_path: CosineAnnealingLR, init_args: {T_max: 1000}, interval: step}
///
/// In the formulas below, `base` is the optimizer's configured rate. All constructors throw
/// ConfigError, naming the option, if a value is out of range or one that must be given is missing.
/// `describe` tells YAML files and `--help` of the options. ReduceLROnPlateau, which watches a
/// metric, is in plateau.h.
namespace levin {

/// Options of StepLR.
struct StepLROptions {
  /// Epochs or steps between two drops, at least 1; must be given.
  int64_t step_size = 0;
  /// What a drop multiplies the rate by, at least 0.
  double gamma = 0.1;
};
Fields describe(StepLROptions& options);

/// Drops at regular intervals: base * gamma^floor(counter / step_size). PyTorch: StepLR.
class StepLR : public Scheduler {
 public:
  using Options = StepLROptions;
  explicit StepLR(StepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  StepLROptions options_;
};

/// Options of MultiStepLR.
struct MultiStepLROptions {
  /// The counters at which the rate drops, each at least 1, in any order. One that is listed twice
  /// drops it twice. Must be given.
  std::vector<int64_t> milestones{};
  /// What a drop multiplies the rate by, at least 0.
  double gamma = 0.1;
};
Fields describe(MultiStepLROptions& options);

/// Drops at given counters: base * gamma^(number of milestones reached). PyTorch: MultiStepLR.
class MultiStepLR : public Scheduler {
 public:
  using Options = MultiStepLROptions;
  explicit MultiStepLR(MultiStepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  MultiStepLROptions options_;
};

/// Options of ExponentialLR.
struct ExponentialLROptions {
  /// What each epoch or step multiplies the rate by, above 0; must be given.
  double gamma = 0.0;
};
Fields describe(ExponentialLROptions& options);

/// Drops by the same factor each time: base * gamma^counter. PyTorch: ExponentialLR.
class ExponentialLR : public Scheduler {
 public:
  using Options = ExponentialLROptions;
  explicit ExponentialLR(ExponentialLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  ExponentialLROptions options_;
};

/// Options of CosineAnnealingLR.
struct CosineAnnealingLROptions {
  /// Epochs or steps from the base rate down to eta_min, at least 1; must be given. After that the
  /// rate goes up again, as the cosine does.
  int64_t T_max = 0;
  /// The lowest rate, at least 0.
  double eta_min = 0.0;
};
Fields describe(CosineAnnealingLROptions& options);

/// Falls along half a cosine:
///
///     eta_min + (base - eta_min) * (1 + cos(pi * counter / T_max)) / 2
///
/// PyTorch: CosineAnnealingLR; doi:10.48550/arXiv.1608.03983.
class CosineAnnealingLR : public Scheduler {
 public:
  using Options = CosineAnnealingLROptions;
  explicit CosineAnnealingLR(CosineAnnealingLROptions options = {});
  /// The cosine's part of the formula, (1 + cos(pi * counter / T_max)) / 2.
  double factor(int64_t counter) const override;
  /// Overridden because the formula isn't a multiple of the base rate.
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  CosineAnnealingLROptions options_;
};

/// Options of LinearLR.
struct LinearLROptions {
  /// What the rate is multiplied by at first, in (0, 1].
  double start_factor = 1.0 / 3.0;
  /// What it is multiplied by in the end, in [0, 1].
  double end_factor = 1.0;
  /// Epochs or steps from the first factor to the last, at least 1. After that the last factor
  /// stays.
  int64_t total_iters = 5;
};
Fields describe(LinearLROptions& options);

/// Multiplies base by a factor that moves linearly from start_factor to end_factor, the usual
/// warm-up:
///
///     base * (start_factor + (end_factor - start_factor) * min(counter / total_iters, 1))
///
/// PyTorch: LinearLR.
class LinearLR : public Scheduler {
 public:
  using Options = LinearLROptions;
  explicit LinearLR(LinearLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  LinearLROptions options_;
};
/// Another name of LinearLR.
using WarmupLROptions = LinearLROptions;
using WarmupLR = LinearLR;

/// Options of OneCycleLR.
struct OneCycleLROptions {
  /// The highest rate, above 0; by default the optimizer's configured rate.
  std::optional<double> max_lr{};
  /// Epochs or steps of the whole cycle, at least 1; must be given. After that the last rate stays.
  int64_t total_steps = 0;
  /// The share of the cycle in which the rate rises, in [0, 1], or with three_phase in [0, 0.5].
  double pct_start = 0.3;
  /// The form of rise and fall, "cos" or "linear".
  std::string anneal_strategy = "cos";
  /// The first rate is the peak divided by this; above 0.
  double div_factor = 25.0;
  /// The last rate is the first divided by this; above 0.
  double final_div_factor = 1e4;
  /// If true, the rate falls back to the first one in as much time as it rose, and in the remaining
  /// time to the last one. If false, it falls from the highest to the last rate at once.
  bool three_phase = false;
};
Fields describe(OneCycleLROptions& options);

/// Rises from max_lr / div_factor to the peak max_lr, and falls to less than it began with. With a
/// cycle over all steps of a run, give it the interval `step`:
///
///     levin::OneCycleLR({.max_lr = 0.1, .total_steps = max_epochs * steps_per_epoch})
///
/// The momentum isn't cycled. PyTorch: OneCycleLR with cycle_momentum=False;
/// doi:10.48550/arXiv.1708.07120.
class OneCycleLR : public Scheduler {
 public:
  using Options = OneCycleLROptions;
  explicit OneCycleLR(OneCycleLROptions options = {});
  double factor(int64_t counter) const override;
  /// The peak, or the base rate if no peak is given, times `factor`.
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  OneCycleLROptions options_;
};

/// One schedule after another; each one counts from 0 when its turn comes. Five epochs of warm-up,
/// then a cosine:
///
///     levin::SequentialLR({5}, levin::LinearLR({.total_iters = 5}),
///                         levin::CosineAnnealingLR({.T_max = 95}))
///
/// PyTorch: SequentialLR.
class SequentialLR : public Scheduler {
 public:
  /// `milestones[i]` is the counter at which schedule i + 1 takes over, so there is one milestone
  /// less than there are schedules. Throws ConfigError for another number of them, milestones that
  /// don't increase, null, and a schedule that watches a metric.
  SequentialLR(std::vector<int64_t> milestones, std::vector<std::unique_ptr<Scheduler>> schedulers);
  /// The same with schedules by value, of any classes.
  template <std::derived_from<Scheduler>... S>
  explicit SequentialLR(std::vector<int64_t> milestones, S... schedulers)
      : SequentialLR(std::move(milestones), list(std::move(schedulers)...)) {}
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
