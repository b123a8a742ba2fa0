// TPE chooses what Optuna 5's TPESampler chooses (tests/baselines/tuning.py).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/pareto_front.h>
#include <levin/tuning/samplers/tpe_searcher.h>

#include "tuning/baseline.h"

namespace levin::tpe_searcher_test {

using test::numbers;
using test::tuning_baseline;

const double kNaN = std::numeric_limits<double>::quiet_NaN();

Study study_of(const Value& row, const std::vector<SearchParameter>& space) {
  Study study;
  const bool up = row.at("direction").as_string() == "maximize";
  study.directions = {up ? StudyDirection::maximize : StudyDirection::minimize};
  for (const Value& recorded : row.at("trials").as_array()) {
    Trial trial;
    trial.number = static_cast<int64_t>(study.trials.size());
    trial.state = static_cast<TrialState>(recorded.at("state").as_int());
    for (const auto& parameter : space) {
      trial.parameters[parameter.name] = recorded.at("params").at(parameter.name).as_double();
      trial.distributions.emplace(parameter.name, parameter.distribution);
    }
    if (!recorded.at("value").is_null()) trial.values = {recorded.at("value").as_double()};
    for (const auto& [step, value] : recorded.at("steps").as_object()) {
      trial.intermediate_values[std::stoll(step)] = value.is_null() ? kNaN : value.as_double();
    }
    study.trials.push_back(trial);
  }
  return study;
}

void expect_near(const ParameterValues& own, const Value& theirs) {
  for (const auto& [name, value] : own) {
    const double expected = theirs.at(name).as_double();
    EXPECT_NEAR(value, expected, 1e-7 * (1.0 + std::fabs(expected))) << name;
  }
}

TEST(TpeSearcher, chooses_what_optuna_chooses_from_a_recorded_study) {
  const auto space = test::baseline_space();
  const TpeSearcher searcher(SearchSpace(space), {});
  std::vector<const SearchParameter*> all;
  for (const auto& parameter : space) all.push_back(&parameter);
  for (const Value& row : tuning_baseline().at("suggestions").as_array()) {
    const Study study = study_of(row, space);
    SCOPED_TRACE(testing::Message() << study.trials.size() << " trials");
    const auto number = static_cast<int64_t>(study.trials.size());
    for (uint32_t seed = 0; seed < 2; ++seed) {
      SCOPED_TRACE(testing::Message() << "seed " << seed);
      RandomSource random(seed);
      expect_near(searcher.choose(study, number, all, random), row.at("joint").as_array()[seed]);
      for (const auto* parameter : all) {
        RandomSource alone(seed);
        expect_near(searcher.choose(study, number, {parameter}, alone),
                    row.at("alone").as_array()[seed]);
      }
    }
  }
}

TEST(TpeSearcher, good_trials_of_several_objectives_are_optunas) {
  for (const Value& row : tuning_baseline().at("fronts").as_array()) {
    LossPoints points;
    for (const Value& values : row.at("values").as_array()) {
      points.push_back(numbers(values));
      for (size_t i = 0; i < points.back().size(); ++i) {
        if (row.at("directions").as_array()[i].as_string() == "maximize") points.back()[i] *= -1.0;
      }
    }
    std::vector<size_t> expected;
    for (const Value& number : row.at("good").as_array()) {
      expected.push_back(static_cast<size_t>(number.as_int()));
    }
    EXPECT_EQ(best_points(points, static_cast<size_t>(row.at("below").as_int())), expected);
  }
}

SearchSpace conditional_space() {
  return SearchSpace::from_value(Value::Object{
      {"kind", Value::Array{"sgd", "adam"}},
      {"momentum",
       Value::Object{{"low", 0.0}, {"high", 1.0}, {"when", Value::Object{{"kind", "sgd"}}}}},
      {"rate", Value::Object{{"low", 1e-3}, {"high", 1.0}, {"log", true}}},
      {"same", Value::Array{7}},
  });
}

double loss_of(const ParameterValues& values) {
  double loss = std::pow(std::log10(values.at("rate")) + 2.0, 2.0);
  const auto momentum = values.find("momentum");
  return loss + (momentum == values.end() ? 1.0 : std::fabs(momentum->second - 0.9));
}

/// Runs trials one after another; each ends `lag - 1` trials later than it could.
Study run(const TpeSearcher& searcher, const SearchSpace& space, int64_t count, int64_t late) {
  Study study;
  study.directions = {StudyDirection::minimize};
  const auto finish = [&](int64_t number) {
    Trial& trial = study.trials.at(static_cast<size_t>(number));
    trial.values = {loss_of(trial.parameters)};
    trial.state = TrialState::complete;
  };
  for (int64_t number = 0; number < count; ++number) {
    if (number >= late) finish(number - late);
    EXPECT_TRUE(searcher.is_ready(study, number));
    Trial trial;
    trial.number = number;
    trial.parameters = searcher.suggest(study, number)->parameters;
    for (const auto& [name, value] : trial.parameters) {
      trial.distributions.emplace(name, space.find(name)->distribution);
    }
    study.trials.push_back(trial);
  }
  for (int64_t number = std::max<int64_t>(0, count - late); number < count; ++number)
    finish(number);
  return study;
}

std::string parameters_of(const Study& study) {
  std::string text;
  for (const Trial& trial : study.trials) {
    for (const auto& [name, value] : trial.parameters) text += name + std::to_string(value) + " ";
  }
  return text;
}

TEST(TpeSearcher, finds_the_branch_of_a_conditional_space_and_skips_what_isnt_there) {
  const auto space = conditional_space();
  for (const bool multivariate : {true, false}) {
    const TpeSearcher searcher(space, {.seed = 3, .multivariate = multivariate});
    const Study study = run(searcher, space, 60, 1);
    int sgd = 0;
    for (const Trial& trial : study.trials) {
      EXPECT_EQ(trial.parameters.count("momentum"), trial.parameters.at("kind") == 0.0 ? 1U : 0U);
      EXPECT_EQ(trial.parameters.at("same"), 0.0);
      if (trial.number >= 40 && trial.parameters.at("kind") == 0.0) ++sgd;
    }
    EXPECT_GT(sgd, 13) << "of the last 20 trials";
    EXPECT_LT(study.best_trial()->values[0], 0.15);
  }
}

TEST(TpeSearcher, with_a_lag_the_study_is_the_same_in_whatever_order_trials_end) {
  const auto space = conditional_space();
  const TpeSearcher searcher(space, {.seed = 5, .startup_trials = 5, .lag = 4});
  const std::string alone = parameters_of(run(searcher, space, 30, 1));
  EXPECT_EQ(parameters_of(run(searcher, space, 30, 2)), alone);
  EXPECT_EQ(parameters_of(run(searcher, space, 30, 4)), alone);
  const TpeSearcher without(space, {.seed = 5, .startup_trials = 5});
  EXPECT_NE(parameters_of(run(without, space, 30, 4)), parameters_of(run(without, space, 30, 1)));
  Study study = run(searcher, space, 10, 1);
  study.trials[6].state = TrialState::running;
  EXPECT_FALSE(searcher.is_ready(study, 10));
  EXPECT_TRUE(searcher.is_ready(study, 9));
  const auto chosen = searcher.suggest(study, 9)->parameters;
  study.trials[6].state = TrialState::fail;
  EXPECT_EQ(searcher.suggest(study, 9)->parameters, chosen) << "when it fails doesn't matter";
  study.trials[6].state = TrialState::running;
  study.trials[6].parameters.clear();
  EXPECT_FALSE(searcher.is_ready(study, 9)) << "it isn't known yet what trial 6 was given";
}

TEST(TpeSearcher, reads_what_a_running_trial_of_optuna_was_given) {
  const auto space =
      SearchSpace::from_value(Value::Object{{"x", Value::Object{{"low", 0.0}, {"high", 1.0}}}});
  const TpeSearcher searcher(space, {});
  Study study;
  study.directions = {StudyDirection::minimize};
  for (int64_t number = 0; number < 12; ++number) {
    Trial trial;
    trial.number = number;
    trial.state = TrialState::complete;
    trial.parameters["x"] = 0.05 * static_cast<double>(number);
    trial.distributions.emplace("x", space.find("x")->distribution);
    trial.values = {trial.parameters["x"]};
    study.trials.push_back(trial);
  }
  Trial running;
  running.number = 12;
  study.trials.push_back(running);
  const auto choose = [&] {
    RandomSource random(1);
    return searcher.choose(study, 13, {space.find("x")}, random).at("x");
  };
  const double without = choose();
  study.trials.back().system_attributes["tpe:relative_params:0"] = "{\"x\": ";
  EXPECT_EQ(choose(), without) << "half of the text";
  study.trials.back().system_attributes["tpe:relative_params:1"] = std::to_string(without) + "}";
  EXPECT_NE(choose(), without) << "the liar keeps away from it";
}

TEST(TpeSearcher, refuses_options_that_make_no_sense) {
  EXPECT_THROW(TpeSearcher(conditional_space(), {.candidates = 0}), ConfigError);
  EXPECT_THROW(TpeSearcher(conditional_space(), {.lag = -1}), ConfigError);
}

}  // namespace levin::tpe_searcher_test
