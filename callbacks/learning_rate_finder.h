#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/trainer/fit_tuner.h>

namespace levin {

/// Options of LearningRateFinder. Names, meanings and defaults are Lightning's.
struct LearningRateFinderOptions {
  /// The learning rates of the first and of the last step of the trial, above 0 and increasing.
  double min_lr = 1e-8;
  double max_lr = 1.0;
  /// The optimizer steps of the trial, at least 2. The first 10 and the last one don't count.
  int64_t num_training_steps = 100;
  /// Whether the rate rises by the same factor at each step ("exponential") or by the same amount
  /// ("linear").
  std::string mode = "exponential";
  /// The trial ends if the smoothed loss is more than this many times the lowest one so far;
  /// nothing: it goes on to the end.
  std::optional<double> early_stop_threshold = 4.0;
  /// Train with the rate that was found. If not, it is only reported.
  bool update_attr = true;
};

/// Describes the options for YAML files and `--help`.
Fields describe(LearningRateFinderOptions& options);

/// Finds a learning rate before the first epoch, by a trial in which it rises from step to step,
/// and trains with it: the rate at which the loss falls fastest. Lightning: LearningRateFinder.
///
///     auto& finder = trainer.add<levin::LearningRateFinder>({.min_lr = 1e-5});
///     trainer.fit(model, data);
///     finder.learning_rate();   // what was found
///
/// The trial is lr_find (tuner.h) and leaves everything as it was: the fit has the bits of one that
/// was given the rate. It becomes that of the first parameter group, from which schedulers start;
/// other groups keep their ratios to it. The module's own setting stays what it is. Several ranks
/// go by the losses of the rows of all, and find the same rate. Rank 0 prints the rate, and the
/// loggers get it among their settings, as "tuned/learning_rate".
///
/// A fit that resumes goes on with the rate of its checkpoint, and a fast_dev_run takes the one
/// that was set: neither tries anything. If the trial is too short to tell, a warning says so, and
/// the rate that was set counts. What lr_find throws ends the fit.
class LearningRateFinder : public Callback, public FitTuner {
 public:
  using Options = LearningRateFinderOptions;
  explicit LearningRateFinder(LearningRateFinderOptions options = {})
      : options_(std::move(options)) {}

  /// What was found, also in the fit that a resumed one goes on with; nothing before that.
  std::optional<double> learning_rate() const { return learning_rate_; }
  /// The rates and losses of the trial; empty before it and after a resume.
  const LearningRates& found() const { return found_; }

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  void tune(const FitToTune& fit, TunedSettings& tuned) override;

 private:
  LearningRateFinderOptions options_;
  LearningRates found_;
  std::optional<double> learning_rate_;
};

}  // namespace levin
