#pragma once

#include <levin/callbacks/monitor.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <optional>
#include <string>

namespace levin {

/// Lightning's names, meanings and defaults; `restore_best_weights` is Keras'.
struct EarlyStoppingOptions {
  /// The metric to watch, "val_loss" for example. Has to be given.
  std::string monitor{};
  /// A change of at most this much is no improvement.
  double min_delta = 0.0;
  /// Checks in a row without an improvement after which training stops.
  int64_t patience = 3;
  /// Say on stderr what each check found.
  bool verbose = false;
  /// Whether less ("min") or more ("max") is better.
  std::string mode = "min";
  /// Whether a metric that nobody logs is an error.
  bool strict = true;
  /// Stop where the metric is NaN or infinite.
  bool check_finite = true;
  /// Stop once the metric is better than this.
  std::optional<double> stopping_threshold{};
  /// Stop once the metric is worse than this.
  std::optional<double> divergence_threshold{};
  /// Check after each training epoch (true) or validation (false); nothing: whenever the metric is
  /// new, that is, after validation where validation logs it.
  std::optional<bool> check_on_train_epoch_end{};
  /// When training ends, for whatever reason, put back the weights that had the best value.
  bool restore_best_weights = false;
};

Fields describe(EarlyStoppingOptions& options);

/// Stops training when a metric has ceased to improve. Lightning: EarlyStopping.
///
/// A second `fit` starts counting anew; a resumed one goes on counting.
class EarlyStopping : public Callback {
 public:
  using Options = EarlyStoppingOptions;
  /// Throws ConfigError for options that can't be.
  explicit EarlyStopping(EarlyStoppingOptions options = {});

  /// The best value seen; nothing before the first check.
  std::optional<double> best_score() const;
  /// Checks in a row without an improvement.
  int64_t wait_count() const { return wait_count_; }
  /// The epoch in which it stopped training; nothing where it didn't.
  std::optional<int64_t> stopped_epoch() const { return stopped_epoch_; }
  /// Why, in words; empty where it didn't. Also the History's stop_reason.
  const std::string& stopping_reason() const { return stopping_reason_; }

  Order order() const override { return Order::monitor; }
  std::string state_key() const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  void reset();
  void check(Run& run);
  /// Takes a new value; returns why to stop, or nothing.
  std::string judge(double value, Run& run);
  void take_best(double value, Run& run);

  EarlyStoppingOptions options_;
  Monitor monitor_;
  bool resumed_ = false;
  bool fitting_ = false;
  double best_score_;
  int64_t best_epoch_ = -1;
  int64_t best_step_ = -1;
  int64_t wait_count_ = 0;
  std::optional<int64_t> stopped_epoch_;
  std::string stopping_reason_;
  StateDict best_weights_;  // on the CPU
};

}  // namespace levin
