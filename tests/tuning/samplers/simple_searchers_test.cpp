#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/simple_searchers.h>

#include "tuning/baseline.h"

namespace levin::simple_searchers_test {

SearchSpace space_of_ranges(size_t count) {
  std::vector<SearchParameter> parameters;
  for (size_t i = 0; i < count; ++i) {
    parameters.push_back({"x" + std::to_string(i), FloatDistribution{0.0, 1.0}, {}, {}});
  }
  return SearchSpace(parameters);
}

TEST(SobolSearcher, direction_numbers_are_scipys) {
  for (const Value& row : test::tuning_baseline().at("sobol").as_array()) {
    const auto dim = static_cast<size_t>(row.at("dim").as_int());
    const auto& points = row.at("points").as_array();
    const uint64_t first = dim == 3 ? 0 : 60;
    for (size_t d = 0; d < dim; ++d) {
      const auto directions = sobol_directions(d);
      for (size_t i = 0; i < points.size(); ++i) {
        const uint64_t gray = (first + i) ^ ((first + i) >> 1U);
        uint32_t point = 0;
        for (size_t bit = 0; bit < 30; ++bit) {
          if ((gray >> bit & 1U) != 0) point ^= directions[bit];
        }
        EXPECT_EQ(point / 1073741824.0, points[i].as_array()[d].as_double()) << d << ", " << i;
      }
    }
  }
}

TEST(SobolSearcher, scrambled_points_still_fill_every_box_of_equal_size) {
  const SobolSearcher searcher(space_of_ranges(SobolSearcher::most_parameters), 11);
  std::vector<std::vector<double>> points;
  for (int64_t n = 0; n < 64; ++n) {
    const auto values = searcher.suggest({}, n)->parameters;
    points.emplace_back();
    for (size_t d = 0; d < values.size(); ++d)
      points.back().push_back(values.at("x" + std::to_string(d)));
  }
  for (size_t d = 0; d < points[0].size(); ++d) {
    std::set<int> boxes;
    for (const auto& point : points) boxes.insert(static_cast<int>(point[d] * 64.0));
    EXPECT_EQ(boxes.size(), 64U) << "dimension " << d;
  }
  for (const int rows : {1, 2, 4, 8, 16, 32, 64}) {  // the first two dimensions are a (0, 6, 2)-net
    std::set<std::pair<int, int>> boxes;
    for (const auto& point : points) {
      boxes.emplace(static_cast<int>(point[0] * rows), static_cast<int>(point[1] * 64 / rows));
    }
    EXPECT_EQ(boxes.size(), 64U) << rows << " rows";
  }
  const SobolSearcher other(space_of_ranges(3), 12);
  EXPECT_NE(other.suggest({}, 5)->parameters.at("x1"), points[5][1]);
  EXPECT_THROW(SobolSearcher(space_of_ranges(65), 0), ConfigError);
}

TEST(GridSearcher, tries_every_combination_once) {
  const auto space = SearchSpace::from_value(Value::Object{
      {"depth", Value::Object{{"low", 1}, {"high", 5}, {"step", 2}}},
      {"kind", Value::Array{"sgd", "adam"}},
      {"momentum",
       Value::Object{
           {"low", 0.0}, {"high", 0.9}, {"step", 0.3}, {"when", Value::Object{{"kind", "sgd"}}}}},
      {"rate", Value::Object{{"low", 0.01}, {"high", 1.0}, {"log", true}}},
  });
  const GridSearcher grid(space, 3);
  EXPECT_EQ(grid.size(), 3U * (4 + 1) * 3);
  std::set<std::string> seen;
  for (int64_t n = 0; n < 45; ++n) {
    const auto values = grid.suggest({}, n)->parameters;
    EXPECT_EQ(values.count("momentum"), values.at("kind") == 0.0 ? 1U : 0U);
    std::string text;
    for (const auto& [name, value] : values) {
      EXPECT_TRUE(space.find(name)->distribution.contains(value)) << name << " " << value;
      text += name + std::to_string(value);
    }
    EXPECT_TRUE(seen.insert(text).second) << text;
  }
  EXPECT_FALSE(grid.suggest({}, 45).has_value());
  EXPECT_NEAR(grid.suggest({}, 0)->parameters.at("rate"), 0.01, 1e-12);
  EXPECT_THROW(GridSearcher(space, 0), ConfigError);
  EXPECT_THROW(GridSearcher(space_of_ranges(2), 1001), ConfigError);
}

TEST(RandomSearcher, is_even_over_each_kind_and_the_same_for_a_trial_and_seed) {
  const std::vector<SearchParameter> parameters = {
      {"choice", CategoricalDistribution{{"a", "b", "c", "d"}}, {}, {}},
      {"int", IntDistribution{1, 4}, {}, {}},
      {"log", FloatDistribution{1.0, 16.0, true}, {}, {}},
      {"log_int", IntDistribution{1, 3, true}, {}, {}},
      {"step", FloatDistribution{0.0, 0.9, false, 0.3}, {}, {}}};
  const RandomSearcher searcher(SearchSpace(parameters), 1);
  std::map<std::string, std::map<int, double>> shares;
  constexpr int kTrials = 2000;
  for (int64_t n = 0; n < kTrials; ++n) {
    const auto values = searcher.suggest({}, n)->parameters;
    for (const auto& parameter : parameters) {
      EXPECT_TRUE(parameter.distribution.contains(values.at(parameter.name)));
    }
    shares["choice"][static_cast<int>(values.at("choice"))] += 1.0 / kTrials;
    shares["int"][static_cast<int>(values.at("int")) - 1] += 1.0 / kTrials;
    shares["log"][static_cast<int>(std::log2(values.at("log")))] += 1.0 / kTrials;
    shares["step"][static_cast<int>(std::lround(values.at("step") / 0.3))] += 1.0 / kTrials;
    shares["log_int"][static_cast<int>(values.at("log_int"))] += 1.0 / kTrials;
  }
  for (const char* name : {"choice", "int", "log", "step"}) {
    ASSERT_EQ(shares[name].size(), 4U) << name;
    for (const auto& [bin, share] : shares[name]) EXPECT_NEAR(share, 0.25, 0.04) << name << bin;
  }
  const double whole = std::log(3.5 / 0.5);  // as Optuna: from half below to half above
  EXPECT_NEAR(shares["log_int"][1], std::log(1.5 / 0.5) / whole, 0.04);
  EXPECT_NEAR(shares["log_int"][3], std::log(3.5 / 2.5) / whole, 0.04);
  const RandomSearcher same(SearchSpace(parameters), 1);
  const RandomSearcher other(SearchSpace(parameters), 2);
  EXPECT_EQ(same.suggest({}, 7)->parameters, searcher.suggest({}, 7)->parameters);
  EXPECT_NE(other.suggest({}, 7)->parameters, searcher.suggest({}, 7)->parameters);
}

}  // namespace levin::simple_searchers_test
