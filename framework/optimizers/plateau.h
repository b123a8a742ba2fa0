#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

struct ReduceLROnPlateauOptions {
  /// "min" or "max": which way the metric gets better.
  std::string mode = "min";
  /// What a reduction multiplies the rate by.
  double factor = 0.1;
  /// Values without improvement that are let pass.
  int64_t patience = 10;
  /// How much better a value must be to count.
  double threshold = 1e-4;
  /// "rel" (a share of the best value) or "abs".
  std::string threshold_mode = "rel";
  /// Values after a reduction that don't count.
  int64_t cooldown = 0;
  /// The lowest rate.
  double min_lr = 0.0;
  /// Changes of the rate smaller than this are left out.
  double eps = 1e-8;
};
Fields describe(ReduceLROnPlateauOptions& options);

/// Lowers the rate when a metric has stopped getting better. Throws ConfigError for options that
/// can't be. PyTorch: ReduceLROnPlateau.
class ReduceLROnPlateau : public Scheduler {
 public:
  using Options = ReduceLROnPlateauOptions;
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {});
  /// Without min_lr and eps; the counter doesn't matter.
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
