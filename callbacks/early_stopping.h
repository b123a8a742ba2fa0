#pragma once

#include <levin/callbacks/best_score.h>
#include <levin/callbacks/monitor.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <optional>
#include <string>

namespace levin {

/// Options of EarlyStopping. Names, meanings and defaults are Lightning's, except
/// `restore_best_weights`, which is Keras'.
struct EarlyStoppingOptions {
  /// The name of the metric to watch, for example "val_loss". Required.
  std::string monitor{};
  /// The value must change by more than this to count as an improvement. Never negative.
  double min_delta = 0.0;
  /// The number of consecutive checks without improvement after which training stops.
  int64_t patience = 3;
  /// Print the result of each check to stderr.
  bool verbose = false;
  /// "min" if a smaller value is better, "max" if a larger one is.
  std::string mode = "min";
  /// Throw ModuleError if the metric is never logged. Otherwise training just isn't stopped.
  bool strict = true;
  /// Stop if the metric becomes NaN or infinite.
  bool check_finite = true;
  /// Stop as soon as the metric is better than this value.
  std::optional<double> stopping_threshold{};
  /// Stop as soon as the metric is worse than this value.
  std::optional<double> divergence_threshold{};
  /// When to check: after each training epoch (true) or after each validation (false). By default,
  /// whenever the metric has a new value, which is after validation if validation_step logs it.
  std::optional<bool> check_on_train_epoch_end{};
  /// At the end of training, whatever the reason, restore the weights that had the best value. They
  /// are kept on the CPU, which takes as much memory as the model. A fit whose model is divided
  /// among ranks throws ConfigError.
  bool restore_best_weights = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(EarlyStoppingOptions& options);
/// Throws ConfigError if min_delta or patience is negative.
void validate(const EarlyStoppingOptions& options);

/// Stops training when a metric has stopped improving. Lightning: EarlyStopping.
///
///     auto& stopping = trainer.add<levin::EarlyStopping>({.monitor = "val_loss", .patience = 5});
///     trainer.fit(model, data);
///     std::printf("best val_loss: %g\n", stopping.best_score().value());
///
/// The decision is made anew with each value for as long as min_epochs or min_steps holds the stop
/// back: if the metric has improved by the time they are reached, training goes on.
///
/// With several ranks, all of them use the value of rank 0 and stop after the same step. A fit that
/// resumes from a checkpoint continues to count; any other fit starts over.
class EarlyStopping : public Callback {
 public:
  using Options = EarlyStoppingOptions;
  /// Throws ConfigError if `monitor` is missing or an option is out of range.
  explicit EarlyStopping(EarlyStoppingOptions options = {});

  /// The best value so far; nothing before the first check.
  std::optional<double> best_score() const { return best_.found(); }
  /// The number of consecutive checks without improvement so far.
  int64_t wait_count() const { return wait_count_; }
  /// The epoch, from 0, in which this callback stopped training; nothing if it didn't.
  std::optional<int64_t> stopped_epoch() const { return stopped_epoch_; }
  /// Why this callback stopped training, as a sentence; empty if it didn't. The same text is the
  /// History's stop_reason.
  const std::string& stopping_reason() const { return stopping_reason_; }

  /// Runs after the module's hooks of the same name, so that the metric has its new value.
  Order order() const override { return Order::monitor; }
  /// Contains the monitor and the mode, so that several EarlyStoppings keep their states apart.
  std::string state_key() const override;
  /// The best value, the number of checks without improvement and, if they are to be restored, the
  /// best weights.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  // These check the metric, depending on check_on_train_epoch_end, and restore the best weights.
  void on_fit_start(Run& run) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  /// Forgets the previous fit.
  void reset();
  /// Reads the metric, if it has a new value, and asks the run to stop if it is time to.
  void check(Run& run);
  /// Asks the run to stop for as long as there is a wish to.
  void ask(Run& run);

  EarlyStoppingOptions options_;
  Monitor monitor_;
  bool resumed_ = false;  // a state was loaded since the last fit
  bool fitting_ = false;  // between on_fit_start and on_train_end
  BestScore best_;
  int64_t wait_count_ = 0;
  std::string wish_;  // the reason to stop by the last value, or empty
  std::optional<int64_t> stopped_epoch_;
  std::string stopping_reason_;
};

}  // namespace levin
