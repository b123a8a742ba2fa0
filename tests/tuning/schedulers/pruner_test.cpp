// Pruners decide as Optuna's do on the same curves (tests/baselines/tuning.py).
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/halving_schedule.h>
#include <levin/tuning/schedulers/pruner.h>

#include "tuning/baseline.h"

namespace levin::pruner_test {

using test::tuning_baseline;

const double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Runs each curve as a trial, one after another; returns the step at which it was stopped, or -1.
std::vector<int64_t> run_curves(const Pruner& pruner, StudyDirection direction) {
  Study study;
  study.name = "recorded";
  study.directions = {direction};
  std::vector<int64_t> ends;
  for (const Value& curve : tuning_baseline().at("pruners").at("curves").as_array()) {
    study.trials.emplace_back();
    Trial& trial = study.trials.back();
    trial.number = static_cast<int64_t>(study.trials.size()) - 1;
    trial.state = TrialState::running;
    int64_t end = -1;
    for (const Value& value : curve.as_array()) {
      const auto step = static_cast<int64_t>(trial.intermediate_values.size());
      trial.intermediate_values[step] = value.is_null() ? kNaN : value.as_double();
      const auto decision = pruner.decide(study, trial);
      for (const auto& [name, kept] : decision.attributes) trial.system_attributes[name] = kept;
      if (!decision.prune) continue;
      end = step;
      break;
    }
    trial.state = end < 0 ? TrialState::complete : TrialState::pruned;
    trial.values = {trial.intermediate_values.rbegin()->second};
    ends.push_back(end);
  }
  return ends;
}

TEST(Pruner, each_rule_stops_the_trials_that_optuna_stops_at_the_same_step) {
  std::map<std::string, std::unique_ptr<Pruner>> pruners;
  pruners["median"] = std::make_unique<PercentilePruner>();
  pruners["median_late"] = std::make_unique<PercentilePruner>(PercentileOptions{
      .startup_trials = 3, .warmup_steps = 4, .interval_steps = 5, .min_trials = 4});
  pruners["percentile"] = std::make_unique<PercentilePruner>(PercentileOptions{.percentile = 25.0});
  pruners["halving"] = std::make_unique<SuccessiveHalvingPruner>();
  pruners["halving_3"] =
      std::make_unique<SuccessiveHalvingPruner>(HalvingOptions{.min_resource = 2,
                                                               .reduction_factor = 3,
                                                               .min_early_stopping_rate = 1,
                                                               .bootstrap_count = 2});
  pruners["hyperband"] = std::make_unique<HyperbandPruner>();
  pruners["hyperband_30"] = std::make_unique<HyperbandPruner>(
      HyperbandOptions{.min_resource = 2, .max_resource = 30, .reduction_factor = 2});
  pruners["patient"] = std::make_unique<PatientPruner>(nullptr, 3, 0.02);
  pruners["patient_median"] =
      std::make_unique<PatientPruner>(std::make_unique<PercentilePruner>(), 1);
  pruners["threshold"] = std::make_unique<ThresholdPruner>(0.1, 1.7, 2);
  const auto& expected = tuning_baseline().at("pruners").at("pruned_at").as_object();
  EXPECT_EQ(expected.size(), pruners.size());
  for (const auto& [name, directions] : expected) {
    for (const auto& [direction, steps] : directions.as_object()) {
      std::vector<int64_t> theirs;
      for (const Value& step : steps.as_array()) theirs.push_back(step.as_int());
      EXPECT_EQ(run_curves(*pruners.at(name), direction == "maximize" ? StudyDirection::maximize
                                                                      : StudyDirection::minimize),
                theirs)
          << name << ", " << direction;
    }
  }
}

TEST(Pruner, refuses_options_that_make_no_sense) {
  EXPECT_THROW(PercentilePruner({.percentile = 101.0}), ConfigError);
  EXPECT_THROW(PercentilePruner({.interval_steps = 0}), ConfigError);
  EXPECT_THROW(SuccessiveHalvingPruner({.reduction_factor = 1}), ConfigError);
  EXPECT_THROW(SuccessiveHalvingPruner({.bootstrap_count = 1}), ConfigError);
  EXPECT_THROW(HyperbandPruner({.min_resource = 5, .max_resource = 4}), ConfigError);
  EXPECT_THROW(HyperbandPruner({.bootstrap_count = 1}), ConfigError);
  EXPECT_THROW(PatientPruner(nullptr, -1), ConfigError);
  EXPECT_THROW(PatientPruner(nullptr, 1, kNaN), ConfigError);
  EXPECT_THROW(ThresholdPruner(std::nullopt, std::nullopt), ConfigError);
  EXPECT_THROW(ThresholdPruner(2.0, 1.0), ConfigError);
  Study several;
  several.directions = {StudyDirection::minimize, StudyDirection::minimize};
  Trial trial;
  trial.intermediate_values[0] = 1.0;
  EXPECT_THROW(PercentilePruner().decide(several, trial), ConfigError);
  EXPECT_THROW(SuccessiveHalvingPruner().decide(several, trial), ConfigError);
}

TEST(HalvingSchedule, iterations_are_scikit_learns) {
  for (const Value& row : tuning_baseline().at("halving").as_array()) {
    HalvingScheduleOptions options;
    options.candidates = row.at("candidates").as_int();
    options.max_resources = row.at("max_resources").as_int();
    options.factor = row.at("factor").as_double();
    options.aggressive_elimination = row.at("aggressive").as_bool();
    const Value& least = row.at("min_resources");
    options.exhaust = least == Value("exhaust");
    options.min_resources = least.is_int() ? least.as_int() : row.at("smallest").as_int();
    SCOPED_TRACE(row.to_json());
    const auto iterations = halving_schedule(options);
    ASSERT_EQ(iterations.size(), row.at("n_resources").as_array().size());
    for (size_t i = 0; i < iterations.size(); ++i) {
      EXPECT_EQ(iterations[i].resources, row.at("n_resources").as_array()[i].as_int());
      EXPECT_EQ(iterations[i].candidates, row.at("n_candidates").as_array()[i].as_int());
    }
  }
  EXPECT_THROW(halving_schedule({.candidates = 0, .max_resources = 9}), ConfigError);
  EXPECT_THROW(halving_schedule({.candidates = 4, .max_resources = 9, .factor = 1.0}), ConfigError);
  EXPECT_THROW(halving_schedule({.candidates = 4, .max_resources = 9, .min_resources = 10}),
               ConfigError);
}

TEST(HalvingSchedule, the_best_candidates_go_on_and_nan_is_the_worst) {
  EXPECT_EQ(best_candidates({0.5, kNaN, 0.9, 0.1, 0.5}, 3), (std::vector<size_t>{0, 4, 2}));
  EXPECT_EQ(best_candidates({kNaN, kNaN}, 5), (std::vector<size_t>{0, 1}));
}

}  // namespace levin::pruner_test
