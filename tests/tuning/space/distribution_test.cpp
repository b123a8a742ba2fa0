// Distributions are the same as Optuna's (tests/baselines/tuning.py), and are written as those are.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/space/distribution.h>
#include <levin/tuning/space/python_json.h>

#include "framework/temporary_folder.h"

namespace levin::distribution_test {

const double kNaN = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

TEST(Distribution, is_the_same_as_optunas_from_its_json_and_back) {
  const Value baseline =
      Value::from_json(test::read_file(LEVIN_SOURCE_DIR "/tests/baselines/tuning.json"));
  ASSERT_GT(baseline.at("distributions").as_array().size(), 8U);
  for (const Value& row : baseline.at("distributions").as_array()) {
    const std::string& json = row.at("json").as_string();
    SCOPED_TRACE(json);
    const auto distribution = Distribution::from_json(json);
    EXPECT_EQ(from_python_json(distribution.to_json()).to_json(), from_python_json(json).to_json());
    EXPECT_EQ(distribution, Distribution::from_json(distribution.to_json()));
    EXPECT_EQ(distribution.is_single(), row.at("single").as_bool());
    for (size_t i = 0; i < row.at("probes").as_array().size(); ++i) {
      const double probe = row.at("probes").as_array()[i].as_double();
      EXPECT_EQ(distribution.contains(probe), row.at("contains").as_array()[i].as_bool()) << probe;
    }
  }
}

TEST(Distribution, a_high_that_no_step_reaches_becomes_the_last_value_below_it) {
  EXPECT_EQ(Distribution(FloatDistribution{0.0, 1.0, false, 0.3}).high(), 0.9);
  EXPECT_EQ(Distribution(FloatDistribution{0.1, 0.75, false, 0.1}).high(), 0.7);
  EXPECT_EQ(Distribution(IntDistribution{0, 10, false, 4}).high(), 8.0);
  EXPECT_EQ(Distribution(FloatDistribution{0.0, 1.0, false, 0.1}).size(), 11U);
  EXPECT_EQ(Distribution(IntDistribution{0, 10, false, 4}).size(), 3U);
  EXPECT_EQ(Distribution(FloatDistribution{0.0, 1.0}).size(), 0U);
}

TEST(Distribution, reads_the_names_of_optuna_2_and_the_short_form) {
  const auto same = [](const char* old, const Distribution& now) {
    EXPECT_EQ(Distribution::from_json(old), now) << old;
  };
  same(R"({"name": "UniformDistribution", "attributes": {"low": 0, "high": 2.5}})",
       FloatDistribution{0.0, 2.5});
  same(R"({"name": "LogUniformDistribution", "attributes": {"low": 0.1, "high": 2}})",
       FloatDistribution{0.1, 2.0, true});
  same(R"({"name": "DiscreteUniformDistribution", "attributes": {"low": 0, "high": 2, "q": 0.5}})",
       FloatDistribution{0.0, 2.0, false, 0.5});
  same(R"({"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 7, "step": 2}})",
       IntDistribution{1, 7, false, 2});
  same(R"({"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 7, "step": 1}})",
       IntDistribution{1, 7, true});
  same(R"({"type": "float", "low": 0.0, "high": 1.0, "step": 0.5})",
       FloatDistribution{0.0, 1.0, false, 0.5});
  same(R"({"type": "int", "low": 1, "high": 9, "log": true})", IntDistribution{1, 9, true});
  same(R"({"type": "categorical", "choices": ["a", 1]})", CategoricalDistribution{{"a", 1}});
  EXPECT_THROW(Distribution::from_json(R"({"name": "Normal", "attributes": {}})"), DataError);
  EXPECT_THROW(Distribution::from_json("[1]"), DataError);
}

TEST(Distribution, converts_between_the_two_forms_of_a_value) {
  const Distribution choice = CategoricalDistribution{{Value(), 1, 1.5, "one", kNaN}};
  EXPECT_EQ(choice.to_internal("one"), 3.0);
  EXPECT_EQ(choice.to_internal(1.0), 1.0) << "1 and 1.0 are the same in Python";
  EXPECT_EQ(choice.to_internal(kNaN), 4.0);
  EXPECT_EQ(choice.to_internal("two"), std::nullopt);
  EXPECT_EQ(choice.to_external(0.0), Value());
  EXPECT_THROW(choice.to_external(5.0), ConfigError);
  const Distribution whole = IntDistribution{1, 9};
  EXPECT_EQ(whole.to_external(3.0), Value(3));
  EXPECT_EQ(whole.to_internal("3"), std::nullopt);
  EXPECT_EQ(Distribution(FloatDistribution{}).to_external(0.5), Value(0.5));
  EXPECT_EQ(Distribution(FloatDistribution{0.0, 1.0, false, 0.25}).nearest(0.4), 0.5);
  EXPECT_EQ(whole.nearest(40.0), 9.0);
}

TEST(Distribution, is_compatible_if_a_study_may_hold_both) {
  const Distribution range = FloatDistribution{0.1, 1.0};
  EXPECT_TRUE(range.is_compatible(FloatDistribution{-5.0, 9.0}));
  EXPECT_FALSE(range.is_compatible(FloatDistribution{0.1, 1.0, true}));
  EXPECT_FALSE(range.is_compatible(IntDistribution{0, 1}));
  const Distribution choice = CategoricalDistribution{{"a", 1}};
  EXPECT_TRUE(choice.is_compatible(CategoricalDistribution{{"a", 1.0}}));
  EXPECT_FALSE(choice.is_compatible(CategoricalDistribution{{1, "a"}}));
}

TEST(Distribution, refuses_what_holds_no_value) {
  EXPECT_THROW(Distribution(FloatDistribution{1.0, 0.0}), ConfigError);
  EXPECT_THROW(Distribution(FloatDistribution{0.0, kInfinity}), ConfigError);
  EXPECT_THROW(Distribution(FloatDistribution{kNaN, 1.0}), ConfigError);
  EXPECT_THROW(Distribution(FloatDistribution{0.0, 1.0, true}), ConfigError);
  EXPECT_THROW(Distribution(FloatDistribution{0.0, 1.0, false, 0.0}), ConfigError);
  EXPECT_THROW(Distribution(FloatDistribution{0.5, 1.0, true, 0.1}), ConfigError);
  EXPECT_THROW(Distribution(IntDistribution{3, 2}), ConfigError);
  EXPECT_THROW(Distribution(IntDistribution{0, 2, true}), ConfigError);
  EXPECT_THROW(Distribution(IntDistribution{1, 9, true, 2}), ConfigError);
  EXPECT_THROW(Distribution(IntDistribution{1, 9, false, 0}), ConfigError);
  EXPECT_THROW(Distribution(CategoricalDistribution{}), ConfigError);
}

}  // namespace levin::distribution_test
