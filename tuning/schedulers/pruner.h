#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// Whether a running trial is to be stopped.
struct PruningDecision {
  bool prune = false;
  /// What the study has to keep of the decision, as system attributes of the trial.
  std::map<std::string, double> attributes{};
};

/// Decides which trials are stopped early, from the values that trials report on their way. The
/// rules and their defaults are those of Optuna's pruners of the same names, and so are the
/// decisions; the study must have one objective. A pruner keeps no state: it decides from what the
/// study holds, so that any process may ask.
class Pruner {
 public:
  virtual ~Pruner() = default;

  /// Decides on a trial of the study after it has reported its last value.
  virtual PruningDecision decide(const Study& study, const Trial& trial) const = 0;
};

/// The settings of PercentilePruner.
struct PercentileOptions {
  /// From 0 to 100: of the trials, those in the best `percentile` go on.
  double percentile = 50.0;
  /// As long as fewer trials are complete, none is stopped.
  int64_t startup_trials = 5;
  /// A trial isn't stopped before this step.
  int64_t warmup_steps = 0;
  /// The number of steps between decisions.
  int64_t interval_steps = 1;
  /// As long as fewer trials have reported a value at the step, none is stopped there.
  int64_t min_trials = 1;
};

/// Stops a trial whose best value so far is worse than a percentile of the values that the complete
/// trials had at the same step; 50 is the median rule. Throws ConfigError, as the other pruners'
/// constructors do, if a setting is out of its range.
class PercentilePruner : public Pruner {
 public:
  explicit PercentilePruner(PercentileOptions options = {});
  PruningDecision decide(const Study& study, const Trial& trial) const override;

 private:
  PercentileOptions options_;
};

/// The settings of SuccessiveHalvingPruner.
struct HalvingOptions {
  /// The step of the first rung; nothing: a hundredth of the last step of the trial that was
  /// complete first, and as long as none is complete, no trial is stopped.
  std::optional<int64_t> min_resource{};
  /// Of the trials that reach a rung, the best 1 / reduction_factor go on; the next rung is at
  /// reduction_factor times as many steps.
  int64_t reduction_factor = 4;
  /// Moves the first rung to min_resource * reduction_factor^min_early_stopping_rate.
  int64_t min_early_stopping_rate = 0;
  /// At a rung that no more trials than this have reached, all are stopped.
  int64_t bootstrap_count = 0;
};

/// Asynchronous successive halving (ASHA, arXiv:1810.05934) without pauses: at each rung, a trial
/// is stopped at once unless it is among the best that have reached it so far.
class SuccessiveHalvingPruner : public Pruner {
 public:
  explicit SuccessiveHalvingPruner(HalvingOptions options = {});
  PruningDecision decide(const Study& study, const Trial& trial) const override;
  /// Decides among these trials, those of a bracket; `own` is one of them.
  PruningDecision decide_among(const Study& study, const std::vector<const Trial*>& trials,
                               const Trial& own) const;

 private:
  HalvingOptions options_;
};

/// The settings of HyperbandPruner.
struct HyperbandOptions {
  int64_t min_resource = 1;
  /// The largest step plus 1; nothing: that of the trial that was complete first, and as long as
  /// none is complete, no trial is stopped.
  std::optional<int64_t> max_resource{};
  int64_t reduction_factor = 3;
  /// Needs max_resource.
  int64_t bootstrap_count = 0;
};

/// Hyperband (arXiv:1603.06560): trials are divided among brackets, which begin to stop theirs at
/// different steps; each is a successive halving of its own. The bracket of a trial depends on its
/// number and the name of the study.
class HyperbandPruner : public Pruner {
 public:
  explicit HyperbandPruner(HyperbandOptions options = {});
  PruningDecision decide(const Study& study, const Trial& trial) const override;
  /// The shares of trials that the brackets get, from the one that stops first; empty as long as
  /// the largest step isn't known.
  std::vector<int64_t> budgets(const Study& study) const;

 private:
  HyperbandOptions options_;
};

/// Asks another pruner only if a trial hasn't improved by more than `min_delta` in its last
/// `patience` + 1 values; without another pruner, such a trial is stopped.
class PatientPruner : public Pruner {
 public:
  PatientPruner(std::unique_ptr<Pruner> wrapped, int64_t patience, double min_delta = 0.0);
  PruningDecision decide(const Study& study, const Trial& trial) const override;

 private:
  std::unique_ptr<Pruner> wrapped_;
  int64_t patience_;
  double min_delta_;
};

/// Stops a trial whose last value is NaN or outside of `lower` to `upper`, from step `warmup_steps`
/// on, each `interval_steps` steps.
class ThresholdPruner : public Pruner {
 public:
  ThresholdPruner(std::optional<double> lower, std::optional<double> upper,
                  int64_t warmup_steps = 0, int64_t interval_steps = 1);
  PruningDecision decide(const Study& study, const Trial& trial) const override;

 private:
  double lower_;
  double upper_;
  int64_t warmup_steps_;
  int64_t interval_steps_;
};

}  // namespace levin
