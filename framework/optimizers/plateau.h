#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

struct ReduceLROnPlateauOptions {
  /// "min" if the metric gets better by falling, "max" if by rising.
  std::string mode = "min";
  /// What a reduction multiplies the learning rate by, between 0 and 1.
  double factor = 0.1;
  /// How many values in a row may bring no improvement before the rate is reduced.
  int64_t patience = 10;
  /// How much better than the best so far a value must be to count as an improvement.
  double threshold = 1e-4;
  /// Whether `threshold` is a share of the best value ("rel") or a difference ("abs").
  std::string threshold_mode = "rel";
  /// How many values after a reduction are not judged.
  int64_t cooldown = 0;
  /// The lowest learning rate.
  double min_lr = 0.0;
  /// Reductions by less than this are not made.
  double eps = 1e-8;
};
Fields describe(ReduceLROnPlateauOptions& options);

/// Lowers the learning rate when a metric has ceased to improve. The schedule names the metric:
///
///     return {levin::SGD(parameters(), {.learning_rate = 0.1}),
///             levin::ReduceLROnPlateau({.patience = 3}), {.monitor = "val_loss"}};
///
/// Unlike other schedulers it has state, which checkpoints keep. PyTorch: ReduceLROnPlateau.
class ReduceLROnPlateau : public Scheduler {
 public:
  using Options = ReduceLROnPlateauOptions;
  /// Throws ConfigError, naming the option, if a value is out of range.
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {});
  /// The product of the reductions so far, whatever the counter, and without regard to min_lr and
  /// eps.
  double factor(int64_t counter) const override;
  double learning_rate(double base_learning_rate, int64_t counter) const override;
  bool needs_metric() const override { return true; }
  void observe(double metric) override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 private:
  bool is_better(double metric) const;

  ReduceLROnPlateauOptions options_;
  double best_;
  int64_t num_bad_ = 0;
  int64_t cooldown_left_ = 0;
  int64_t reductions_ = 0;
};

}  // namespace levin
