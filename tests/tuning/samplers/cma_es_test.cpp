// Each step of CMA-ES is that of the package cmaes (tests/baselines/tuning.py).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/cma_es.h>

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

}  // namespace levin::cma_es_test
