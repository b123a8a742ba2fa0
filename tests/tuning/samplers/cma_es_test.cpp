// Each step of CMA-ES is that of the package cmaes (tests/baselines/tuning.py).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/cma_es.h>
#include <levin/tuning/samplers/cma_es_searcher.h>

#include "tuning/baseline.h"

namespace levin::cma_es_test {

using test::numbers;

void expect_near(const std::vector<double>& own, const std::vector<double>& theirs) {
  ASSERT_EQ(own.size(), theirs.size());
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_NEAR(own[i], theirs[i], 1e-9 * (1.0 + std::fabs(theirs[i]))) << i;
  }
}

TEST(CmaEs, learns_what_cmaes_learns_from_the_same_points) {
  for (const Value& row : test::tuning_baseline().at("cma_es").as_array()) {
    const auto dim = static_cast<size_t>(row.at("dim").as_int());
    CmaEs search(std::vector<double>(dim, 1.0), row.at("sigma").as_double(),
                 std::vector<std::pair<double, double>>(dim, {-5.0, 10.0}));
    EXPECT_EQ(static_cast<int64_t>(search.population_size()), row.at("population").as_int());
    for (const Value& generation : row.at("generations").as_array()) {
      std::vector<std::vector<double>> points;
      for (const Value& point : generation.at("points").as_array())
        points.push_back(numbers(point));
      search.tell(points, numbers(generation.at("values")));
      SCOPED_TRACE(testing::Message() << dim << " dimensions, generation " << search.generation());
      expect_near(search.mean(), numbers(generation.at("mean")));
      expect_near({search.sigma()}, {generation.at("sigma").as_double()});
      std::vector<double> covariance;
      for (const Value& line : generation.at("covariance").as_array()) {
        for (const double entry : numbers(line)) covariance.push_back(entry);
      }
      expect_near(search.covariance(), covariance);
    }
  }
}

TEST(CmaEs, finds_the_minimum_of_a_long_valley_and_keeps_to_its_bounds) {
  CmaEs search({-1.0, 2.0}, 0.5, {{-2.0, 2.0}, {-1.0, 3.0}});
  RandomSource random(4);
  for (int generation = 0; generation < 120; ++generation) {
    std::vector<std::vector<double>> points;
    std::vector<double> losses;
    for (size_t i = 0; i < search.population_size(); ++i) {
      points.push_back(search.ask(random));
      const double x = points.back()[0];
      const double y = points.back()[1];
      EXPECT_TRUE(std::fabs(x) <= 2.0 && y >= -1.0 && y <= 3.0) << x << ", " << y;
      losses.push_back(100.0 * std::pow(y - x * x, 2.0) + std::pow(1.0 - x, 2.0));
    }
    search.tell(points, losses);
  }
  EXPECT_NEAR(search.mean()[0], 1.0, 1e-3);
  EXPECT_NEAR(search.mean()[1], 1.0, 1e-3);
}

TEST(CmaEs, refuses_what_it_cant_begin_with) {
  EXPECT_THROW(CmaEs({}, 1.0, {}), ConfigError);
  EXPECT_THROW(CmaEs({0.0}, 0.0, {{-1.0, 1.0}}), ConfigError);
  EXPECT_THROW(CmaEs({2.0}, 1.0, {{-1.0, 1.0}}), ConfigError);
  CmaEs search({0.0}, 1.0, {{-1.0, 1.0}});
  EXPECT_THROW(search.tell({{0.0}}, {1.0}), ConfigError);
}

SearchSpace mixed_space() {
  return SearchSpace::from_value(Value::Object{
      {"choice", Value::Array{"a", "b"}},
      {"rate", Value::Object{{"low", 1e-6}, {"high", 1.0}, {"log", true}}},
      {"width", Value::Object{{"low", 1}, {"high", 100}}},
      {"x", Value::Object{{"low", -5.0}, {"high", 10.0}}},
  });
}

/// Runs `count` more trials, of which a group of `together` is chosen before any of it ends.
void run(const CmaEsSearcher& searcher, const SearchSpace& space, Study& study, int count,
         int together) {
  for (int i = 0; i < count; i += together) {
    const size_t first = study.trials.size();
    for (int k = 0; k < together; ++k) {
      Trial trial;
      trial.number = static_cast<int64_t>(study.trials.size());
      const auto suggestion = searcher.suggest(study, trial.number);
      trial.parameters = suggestion->parameters;
      trial.system_attributes = suggestion->system_attributes;
      for (const auto& [name, value] : trial.parameters) {
        EXPECT_TRUE(space.find(name)->distribution.contains(value)) << name << " " << value;
      }
      study.trials.push_back(trial);
    }
    for (size_t n = first; n < study.trials.size(); ++n) {
      Trial& trial = study.trials[n];
      trial.state = n % 11 == 5 ? TrialState::fail : TrialState::complete;
      trial.values = {-std::pow(trial.parameters.at("x") - 3.0, 2.0) -
                      std::pow(std::log10(trial.parameters.at("rate")) + 3.0, 2.0) -
                      std::fabs(trial.parameters.at("width") - 70.0) / 10.0};
      if (trial.state == TrialState::fail) trial.values.clear();
    }
  }
}

TEST(CmaEsSearcher, finds_the_best_numbers_with_any_process_going_on) {
  const auto space = mixed_space();
  Study study;
  study.directions = {StudyDirection::maximize};
  run(CmaEsSearcher(space, 3), space, study, 100, 1);
  run(CmaEsSearcher(space, 3), space, study, 200, 5);
  EXPECT_GT(study.best_trial()->values[0], -0.1);
  EXPECT_GT(study.trials.back().system_attributes.at("cma:generation").as_int(), 25);
  Study several;
  several.directions = {StudyDirection::minimize, StudyDirection::minimize};
  EXPECT_THROW(CmaEsSearcher(space, 3).suggest(several, 0), ConfigError);
  EXPECT_THROW(CmaEsSearcher(SearchSpace({{"a", CategoricalDistribution{{1, 2}}, {}, {}}}), 1),
               ConfigError);
  EXPECT_THROW(CmaEsSearcher(space, 1, 2), ConfigError);
}

}  // namespace levin::cma_es_test
