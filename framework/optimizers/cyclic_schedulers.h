#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

/// Learning-rate schedules that rise and fall, under PyTorch's names. They are functions of a
/// counter alone, as those of schedulers.h, which says how they are used.
namespace levin {

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

/// Options of CyclicLR.
struct CyclicLROptions {
  /// The lowest rate, at least 0; by default the optimizer's configured rate.
  std::optional<double> base_lr{};
  /// The highest rate, at least 0; must be given.
  double max_lr = -1.0;
  /// Epochs or steps from the lowest rate to the highest, at least 1.
  int64_t step_size_up = 2000;
  /// Epochs or steps back down, at least 1; by default as many as up.
  std::optional<int64_t> step_size_down{};
  /// "triangular": all cycles rise to max_lr. "triangular2": each rises half as far as the one
  /// before. "exp_range": the rise is multiplied by gamma^counter.
  std::string mode = "triangular";
  /// For "exp_range"; above 0.
  double gamma = 1.0;
};
Fields describe(CyclicLROptions& options);

/// Rises from base_lr to max_lr along a line and falls back, again and again. Use it with the
/// interval `step`. The momentum isn't cycled. PyTorch: CyclicLR with cycle_momentum=False;
/// doi:10.1109/WACV.2017.58.
class CyclicLR : public Scheduler {
 public:
  using Options = CyclicLROptions;
  explicit CyclicLR(CyclicLROptions options = {});
  /// The share of the way from the lowest to the highest rate.
  double factor(int64_t counter) const override;
  /// The lowest rate, plus `factor` of the way to max_lr.
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  CyclicLROptions options_;
};

/// Options of CosineAnnealingWarmRestarts.
struct CosineAnnealingWarmRestartsOptions {
  /// Epochs or steps until the first restart, at least 1; must be given.
  int64_t T_0 = 0;
  /// What the length of each cycle is multiplied by to give the next one's, at least 1.
  int64_t T_mult = 1;
  /// The lowest rate, at least 0.
  double eta_min = 0.0;
};
Fields describe(CosineAnnealingWarmRestartsOptions& options);

/// Falls along half a cosine in each cycle, and begins the next one at the base rate again:
///
///     eta_min + (base - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2
///
/// T_cur is the number of epochs or steps since the last restart, and T_i the length of the cycle.
/// PyTorch: CosineAnnealingWarmRestarts; doi:10.48550/arXiv.1608.03983.
class CosineAnnealingWarmRestarts : public Scheduler {
 public:
  using Options = CosineAnnealingWarmRestartsOptions;
  explicit CosineAnnealingWarmRestarts(CosineAnnealingWarmRestartsOptions options = {});
  /// The cosine's part of the formula, (1 + cos(pi * T_cur / T_i)) / 2.
  double factor(int64_t counter) const override;
  /// Overridden because the formula isn't a multiple of the base rate.
  double learning_rate(double base_learning_rate, int64_t counter) const override;

 private:
  CosineAnnealingWarmRestartsOptions options_;
};

}  // namespace levin
