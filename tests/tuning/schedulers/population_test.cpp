#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/population.h>

namespace levin::population_test {

const SearchSpace& space() {
  static const SearchSpace ranges = SearchSpace::from_value(Value::Object{
      {"act", Value::Array{"relu", "tanh", "gelu"}},
      {"depth", Value::Object{{"low", 1}, {"high", 6}}},
      {"rate", Value::Object{{"low", 1e-4}, {"high", 1.0}, {"log", true}}},
  });
  return ranges;
}

std::vector<PopulationMember> members() {
  std::vector<PopulationMember> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(
        {i, static_cast<double>((i * 3) % 8), {{"act", 1.0}, {"depth", 2.0}, {"rate", 0.01}}});
  }
  return all;
}

TEST(Population, the_worst_quarter_takes_over_from_the_best_quarter) {
  auto all = members();
  int exchanged = 0;
  for (size_t own = 0; own < all.size(); ++own) {
    const auto result = exchange_in_population(space(), all, own, StudyDirection::minimize, 3, {});
    EXPECT_EQ(result.has_value(), all[own].value >= 6.0) << own;
    if (!result) continue;
    ++exchanged;
    EXPECT_LE(all[result->source].value, 1.0);
    const auto again = exchange_in_population(space(), all, own, StudyDirection::minimize, 3, {});
    EXPECT_EQ(again->parameters, result->parameters);
  }
  EXPECT_EQ(exchanged, 2);
  const auto up = exchange_in_population(space(), all, 0, StudyDirection::maximize, 3, {});
  ASSERT_TRUE(up.has_value()) << "the smallest value is the worst now";
  EXPECT_GE(all[up->source].value, 6.0);
  all[1].value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(exchange_in_population(space(), all, 1, StudyDirection::minimize, 3, {}).has_value());
}

TEST(Population, parameters_change_a_little_or_are_drawn_anew) {
  const auto all = members();
  const size_t worst = 5;  // its value is 7
  constexpr int kSteps = 400;
  int fresh = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto result =
        exchange_in_population(space(), all, worst, StudyDirection::minimize, step, {.seed = 9});
    ASSERT_TRUE(result.has_value());
    for (const auto& [name, value] : result->parameters) {
      EXPECT_TRUE(space().find(name)->distribution.contains(value)) << name << " " << value;
    }
    const double factor = result->parameters.at("rate") / 0.01;
    if (std::fabs(factor - 1.2) > 1e-9 && std::fabs(factor - 0.8) > 1e-9) ++fresh;
    const auto near = exchange_in_population(space(), all, worst, StudyDirection::minimize, step,
                                             {.resample_probability = 0.0});
    EXPECT_EQ(std::fabs(near->parameters.at("depth") - 2.0), 1.0)
        << "1.2 times 2 is no whole number";
    EXPECT_EQ(std::fabs(near->parameters.at("act") - 1.0), 1.0);
  }
  EXPECT_NEAR(static_cast<double>(fresh) / kSteps, 0.25, 0.08);
}

TEST(Population, refuses_options_that_make_no_sense) {
  const auto refuses = [](const PopulationOptions& options) {
    EXPECT_THROW(
        exchange_in_population(space(), members(), 0, StudyDirection::minimize, 0, options),
        ConfigError);
  };
  refuses({.quantile_fraction = 0.6});
  refuses({.resample_probability = -0.1});
  refuses({.factor_up = 0.0});
}

}  // namespace levin::population_test
