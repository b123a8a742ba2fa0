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

/// Schedules that are functions of the counter alone, by PyTorch's names; `base` is the optimizer's
/// configured rate. All throw ConfigError for options that can't be. The one that watches a metric
/// is in plateau.h.
namespace levin {

struct StepLROptions {
  /// Epochs or steps between two drops; must be given.
  int64_t step_size = 0;
  double gamma = 0.1;
};
Fields describe(StepLROptions& options);

/// base * gamma^floor(counter / step_size). PyTorch: StepLR.
class StepLR : public Scheduler {
 public:
  using Options = StepLROptions;
  explicit StepLR(StepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  StepLROptions options_;
};

struct MultiStepLROptions {
  /// Counters at which the rate drops; one given twice counts twice. Must be given.
  std::vector<int64_t> milestones{};
  double gamma = 0.1;
};
Fields describe(MultiStepLROptions& options);

/// base * gamma^(milestones reached). PyTorch: MultiStepLR.
class MultiStepLR : public Scheduler {
 public:
  using Options = MultiStepLROptions;
  explicit MultiStepLR(MultiStepLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  MultiStepLROptions options_;
};

struct ExponentialLROptions {
  /// Must be given.
  double gamma = 0.0;
};
Fields describe(ExponentialLROptions& options);

/// base * gamma^counter. PyTorch: ExponentialLR.
class ExponentialLR : public Scheduler {
 public:
  using Options = ExponentialLROptions;
  explicit ExponentialLR(ExponentialLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  ExponentialLROptions options_;
};

struct CosineAnnealingLROptions {
  /// Epochs or steps from the base rate down to eta_min; must be given. Beyond, it goes up again.
  int64_t T_max = 0;
  /// The lowest rate.
  double eta_min = 0.0;
};
Fields describe(CosineAnnealingLROptions& options);

/// eta_min + (base - eta_min) * (1 + cos(pi * counter / T_max)) / 2. PyTorch: CosineAnnealingLR;
/// doi:10.48550/arXiv.1608.03983.
class CosineAnnealingLR : public Scheduler {
 public:
  using Options = CosineAnnealingLROptions;
  explicit CosineAnnealingLR(CosineAnnealingLROptions options = {});
  double factor(int64_t counter) const override;
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  CosineAnnealingLROptions options_;
};

struct LinearLROptions {
  double start_factor = 1.0 / 3.0;
  double end_factor = 1.0;
  /// Epochs or steps from one to the other.
  int64_t total_iters = 5;
};
Fields describe(LinearLROptions& options);

/// base * a factor that goes linearly from start_factor to end_factor: the usual warm-up.
/// PyTorch: LinearLR.
class LinearLR : public Scheduler {
 public:
  using Options = LinearLROptions;
  explicit LinearLR(LinearLROptions options = {});
  double factor(int64_t counter) const override;

 private:
  LinearLROptions options_;
};
using WarmupLROptions = LinearLROptions;
using WarmupLR = LinearLR;

struct OneCycleLROptions {
  /// The peak; nothing: the optimizer's rate.
  std::optional<double> max_lr{};
  /// Epochs or steps of the whole cycle; must be given. Beyond, the last rate stays.
  int64_t total_steps = 0;
  /// Share of the cycle spent going up.
  double pct_start = 0.3;
  /// "cos" or "linear".
  std::string anneal_strategy = "cos";
  /// The first rate is the peak divided by this.
  double div_factor = 25.0;
  /// The last rate is the first divided by this.
  double final_div_factor = 1e4;
  /// Down as slowly as up, then to the last rate.
  bool three_phase = false;
};
Fields describe(OneCycleLROptions& options);

/// Up to a peak, and down further than it began; the momentum stays as it is. PyTorch: OneCycleLR
/// with cycle_momentum=False; doi:10.48550/arXiv.1708.07120.
class OneCycleLR : public Scheduler {
 public:
  using Options = OneCycleLROptions;
  explicit OneCycleLR(OneCycleLROptions options = {});
  double factor(int64_t counter) const override;
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  OneCycleLROptions options_;
};

/// One schedule after another; each counts from 0 when its turn comes. PyTorch: SequentialLR.
///
///     SequentialLR({5}, LinearLR({.total_iters = 5}), CosineAnnealingLR({.T_max = 95}))
class SequentialLR : public Scheduler {
 public:
  /// `milestones[i]` is the counter at which schedule i + 1 takes over.
  SequentialLR(std::vector<int64_t> milestones, std::vector<std::unique_ptr<Scheduler>> schedulers);
  template <std::derived_from<Scheduler>... S>
  explicit SequentialLR(std::vector<int64_t> milestones, S... schedulers)
      : SequentialLR(std::move(milestones), list(std::move(schedulers)...)) {}
  double factor(int64_t counter) const override;
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  template <class... S>
  static std::vector<std::unique_ptr<Scheduler>> list(S... schedulers) {
    std::vector<std::unique_ptr<Scheduler>> result;
    (result.push_back(std::make_unique<S>(std::move(schedulers))), ...);
    return result;
  }
  /// The schedule in force, and its own counter.
  std::pair<const Scheduler*, int64_t> at(int64_t counter) const;

  std::vector<int64_t> milestones_;
  std::vector<std::unique_ptr<Scheduler>> schedulers_;
};

}  // namespace levin
