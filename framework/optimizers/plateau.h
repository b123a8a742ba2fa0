#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

/// Options of ReduceLROnPlateau. Names and defaults are PyTorch's.
struct ReduceLROnPlateauOptions {
  /// "min" if the metric gets better by falling, "max" if by rising.
  std::string mode = "min";
  /// What a reduction multiplies the learning rate by, above 0 and below 1.
  double factor = 0.1;
  /// How many values in a row may bring no improvement before the rate is reduced, at least 0: with
  /// 2, the third such value reduces it.
  int64_t patience = 10;
  /// How much better than the best so far a value must be to count as an improvement, at least 0.
  double threshold = 1e-4;
  /// Whether `threshold` is a share of the best value ("rel") or a difference ("abs").
  std::string threshold_mode = "rel";
  /// How many values after a reduction don't count towards `patience`, at least 0. An improvement
  /// among them is noted all the same.
  int64_t cooldown = 0;
  /// The lowest learning rate that a reduction leads to, at least 0.
  double min_lr = 0.0;
  /// A reduction that would lower the rate by this or less isn't made; at least 0.
  double eps = 1e-8;
};
/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(ReduceLROnPlateauOptions& options);

/// Lowers the learning rate when a metric has ceased to improve. The schedule names the metric:
///
///     return {levin::SGD(parameters(), {.learning_rate = 0.1}),
///             levin::ReduceLROnPlateau({.patience = 3}), {.monitor = "val_loss"}};
///
/// The metric is read every `frequency` epochs or steps, from what was logged under that name; a
/// value that was read before, because nothing was logged since, doesn't count again. A
/// NaN counts as no improvement. Unlike other schedulers it has state, which checkpoints keep.
/// PyTorch: ReduceLROnPlateau.
class ReduceLROnPlateau : public Scheduler {
 public:
  using Options = ReduceLROnPlateauOptions;
  /// Throws ConfigError, naming the option, if a value is out of range.
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {});
  /// The product of the reductions so far, without regard to min_lr and eps. The counter isn't
  /// used.
  double factor(int64_t counter) const override;
  /// The base rate after all reductions so far, none of which goes below min_lr or changes the rate
  /// by eps or less. The counter isn't used.
  double learning_rate(double base_learning_rate, int64_t counter) const override;
  bool needs_metric() const override { return true; }
  /// Compares a new value with the best so far, and reduces the rate if patience is used up.
  void observe(double metric) override;
  /// The best value and the counts of bad values, of the cooldown and of reductions, which
  /// `load_state_dict` restores. The first two aren't restored if the saved scheduler had the other
  /// mode.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 private:
  /// Whether the value is better than the best so far by more than the threshold.
  bool is_better(double metric) const;

  ReduceLROnPlateauOptions options_;
  double best_;
  int64_t num_bad_ = 0;
  int64_t cooldown_left_ = 0;
  int64_t reductions_ = 0;
};

}  // namespace levin
