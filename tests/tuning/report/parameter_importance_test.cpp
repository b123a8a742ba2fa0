#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include <levin/framework/core/value.h>
#include <levin/tuning/report/parameter_importance.h>
#include <levin/tuning/samplers/random_source.h>
#include <levin/tuning/samplers/searcher.h>
#include <levin/tuning/study/study_file.h>

#include "framework/python.h"
#include "framework/temporary_folder.h"

namespace levin::parameter_importance_test {

/// Parameters of every kind, one of which some trials don't have, and one which has no effect.
const std::map<std::string, Distribution>& space() {
  static const std::map<std::string, Distribution> distributions = {
      {"choice", CategoricalDistribution{{"a", "b", "c"}}},
      {"depth", IntDistribution{1, 9, false, 2}},
      {"nothing", FloatDistribution{0.0, 1.0}},
      {"rate", FloatDistribution{1e-4, 1.0, true}},
      {"share", FloatDistribution{0.0, 1.0, false, 0.25}},
      {"width", IntDistribution{1, 300, true}}};
  return distributions;
}

/// Writes 60 trials with random parameters.
void write_study(StudyFile& file, int64_t study, bool two_objectives) {
  RandomSource random(7);
  for (int i = 0; i < 60; ++i) {
    TrialUpdate update;
    for (const auto& [name, distribution] : space()) {
      const double value = value_at(distribution, random.uniform());
      if (name == "share" && i % 3 == 0) continue;
      update.parameters[name] = value;
      update.distributions.emplace(name, distribution);
    }
    const auto& p = update.parameters;
    const double loss = std::pow(std::log10(p.at("rate")) + 2.0, 2.0) + 0.3 * p.at("choice") +
                        0.05 * std::abs(p.at("depth") - 5.0) +
                        0.2 * std::abs(std::log10(p.at("width")) - 1.5);
    const int64_t trial = file.create_trial(study);
    file.update(trial, update);
    if (two_objectives) {
      file.finish(trial, TrialState::complete, {loss, -p.at("width")});
    } else {
      file.finish(trial, TrialState::complete, {loss});
    }
  }
}

TEST(ParameterImportance, is_that_of_optunas_ped_anova) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t one = file.open_study("one", {StudyDirection::minimize});
  write_study(file, one, false);
  const int64_t two = file.open_study("two", {StudyDirection::minimize, StudyDirection::maximize});
  write_study(file, two, true);
  const auto of_one = parameter_importances(*file.contents().study(one));
  EXPECT_EQ(of_one.front().first, "rate");
  EXPECT_GT(of_one.front().second, 0.4);
  const auto result =
      test::run_python("tuning_study.py", {"importance", (folder / "study.log").string(), "all"});
  if (result.status == 77) GTEST_SKIP() << "needs a Python with optuna";
  ASSERT_EQ(result.status, 0) << result.output;
  const Value theirs = Value::from_json(result.output);
  for (const Study* study : file.contents().studies()) {
    const auto own = parameter_importances(*study);
    ASSERT_EQ(own.size(), space().size());
    for (const auto& [name, importance] : own) {
      EXPECT_NEAR(importance, theirs.at(study->name).at(name).as_double(), 1e-9)
          << study->name << " " << name;
    }
  }
}

TEST(ParameterImportance, is_equal_as_long_as_nothing_can_be_told) {
  Study study;
  study.directions = {StudyDirection::minimize};
  EXPECT_TRUE(parameter_importances(study).empty());
  Trial trial;
  trial.state = TrialState::complete;
  trial.values = {1.0};
  trial.parameters = {{"nothing", 0.5}, {"rate", 0.1}};
  for (const char* name : {"nothing", "rate"}) trial.distributions.emplace(name, space().at(name));
  study.trials = {trial};
  const auto importances = parameter_importances(study);
  ASSERT_EQ(importances.size(), 2U);
  EXPECT_EQ(importances[0].second, 0.5);
  EXPECT_EQ(importances[1].second, 0.5);
}

}  // namespace levin::parameter_importance_test
