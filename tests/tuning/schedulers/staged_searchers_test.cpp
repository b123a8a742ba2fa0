#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/simple_searchers.h>
#include <levin/tuning/schedulers/staged_searchers.h>

namespace levin::staged_searchers_test {

SearchSpace rates() {
  return SearchSpace::from_value(
      Value::Object{{"rate", Value::Object{{"low", 1e-4}, {"high", 1.0}, {"log", true}}}});
}

/// Runs a search as a worker would, one trial after another; the loss is the distance of the rate
/// from 0.01. Returns the study.
Study run(const StagedSearcher& searcher, StudyDirection direction = StudyDirection::minimize) {
  Study study;
  study.directions = {direction};
  const double sign = direction == StudyDirection::maximize ? -1.0 : 1.0;
  for (int64_t number = 0; number < searcher.size(); ++number) {
    EXPECT_TRUE(searcher.is_ready(study, number)) << number;
    const auto suggestion = searcher.suggest(study, number);
    Trial trial;
    trial.number = number;
    trial.parameters = suggestion->parameters;
    trial.system_attributes = suggestion->system_attributes;
    trial.state = TrialState::pruned;
    trial.values = {sign * std::abs(std::log10(trial.parameters.at("rate")) + 2.0)};
    study.trials.push_back(std::move(trial));
  }
  EXPECT_FALSE(searcher.suggest(study, searcher.size()));
  return study;
}

TEST(HalvingSearcher, has_scikit_learns_stages_and_the_best_go_on_with_their_parameters) {
  const auto make = [] {
    return HalvingSearcher(std::make_unique<RandomSearcher>(rates(), 3), 9, 0, 18, 3.0);
  };
  const HalvingSearcher searcher = make();
  ASSERT_EQ(searcher.stages().size(), 3U);
  EXPECT_EQ(searcher.size(), 9 + 3 + 1);
  for (const StudyDirection direction : {StudyDirection::minimize, StudyDirection::maximize}) {
    const Study study = run(make(), direction);
    const auto distance = [&](size_t i) { return std::abs(study.trials[i].values[0]); };
    std::multiset<double> first;
    for (size_t i = 0; i < 9; ++i) first.insert(distance(i));
    auto expected = first.begin();
    for (size_t i = 9; i < 12; ++i) {
      EXPECT_EQ(distance(i), *expected++);
      const auto& attributes = study.trials[i].system_attributes;
      const auto source = static_cast<size_t>(attributes.at(kGoesOnFromAttribute).as_int());
      EXPECT_EQ(study.trials[source].parameters, study.trials[i].parameters);
      EXPECT_EQ(attributes.at(kUntilEpochAttribute), Value(6));
      EXPECT_EQ(attributes.at(kIsFinalAttribute), Value(false));
    }
    EXPECT_EQ(distance(12), *first.begin());
    EXPECT_EQ(study.trials[12].system_attributes.at(kUntilEpochAttribute), Value(18));
    EXPECT_EQ(study.trials[12].system_attributes.at(kIsFinalAttribute), Value(true));
    EXPECT_EQ(study.trials[0].system_attributes.count(kGoesOnFromAttribute), 0U);
  }
}

TEST(HalvingSearcher, waits_for_the_stage_before_and_takes_what_replaced_a_failed_trial) {
  const HalvingSearcher searcher(std::make_unique<RandomSearcher>(rates(), 3), 3, 1, 3, 3.0);
  Study study = run(searcher);
  study.trials.resize(3);
  EXPECT_TRUE(searcher.is_ready(study, 2));
  Trial& best = study.trials[1];
  for (auto& trial : study.trials) trial.values = {1.0};
  best.values = {0.5};
  best.state = TrialState::running;
  EXPECT_FALSE(searcher.is_ready(study, 3));
  best.state = TrialState::fail;
  Trial again = best;
  again.number = 3;
  again.state = TrialState::waiting;
  study.trials.push_back(again);
  EXPECT_FALSE(searcher.is_ready(study, 3)) << "another trial takes over from the failed one";
  study.trials[3].state = TrialState::pruned;
  ASSERT_TRUE(searcher.is_ready(study, 3));
  EXPECT_EQ(searcher.suggest(study, 3)->system_attributes.at(kGoesOnFromAttribute), Value(3));
}

TEST(PopulationSearcher, the_worst_go_on_from_the_best_with_other_parameters) {
  const PopulationSearcher searcher(rates(), 8, 2, 5, {.seed = 1});
  ASSERT_EQ(searcher.stages().size(), 3U);
  EXPECT_EQ(searcher.stages()[2].until_epoch, 5);
  const Study study = run(searcher);
  EXPECT_EQ(run(PopulationSearcher(rates(), 8, 2, 5, {.seed = 1})).trials[23].parameters,
            study.trials[23].parameters);
  std::multiset<double> first;
  for (size_t i = 0; i < 8; ++i) first.insert(study.trials[i].values[0]);
  const double second_best = *std::next(first.begin(), 1);
  const double second_worst = *std::next(first.begin(), 6);
  int moved = 0;
  for (size_t i = 8; i < 16; ++i) {
    const auto source =
        static_cast<size_t>(study.trials[i].system_attributes.at(kGoesOnFromAttribute).as_int());
    if (source == i - 8) {
      EXPECT_EQ(study.trials[i].parameters, study.trials[source].parameters);
      continue;
    }
    ++moved;
    EXPECT_GE(study.trials[i - 8].values[0], second_worst);
    EXPECT_LE(study.trials[source].values[0], second_best);
    EXPECT_NE(study.trials[i].parameters, study.trials[source].parameters);
  }
  EXPECT_EQ(moved, 2) << "a quarter of eight";
}

TEST(PopulationSearcher, refuses_a_population_of_one) {
  EXPECT_THROW(PopulationSearcher(rates(), 1, 1, 4, {}), ConfigError);
  EXPECT_THROW(PopulationSearcher(rates(), 4, 0, 4, {}), ConfigError);
}

}  // namespace levin::staged_searchers_test
