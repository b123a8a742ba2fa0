#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/space/search_space.h>

namespace levin::search_space_test {

Value space_of_optimizers() {
  return Value::Object{
      {"a.momentum",
       Value::Object{
           {"low", 0.0}, {"high", 0.99}, {"when", Value::Object{{"z.optimizer", "sgd"}}}}},
      {"a.nesterov", Value::Object{{"choices", Value::Array{true, false}},
                                   {"when", Value::Object{{"a.momentum", 0.0}}}}},
      {"data.batch_size", Value::Object{{"low", 16}, {"high", 250}, {"step", 16}}},
      {"model.hidden_sizes", Value::Array{Value::Array{16}, Value::Array{64, 64}, 8}},
      {"model.rate", Value::Object{{"low", 1e-4}, {"high", 1}, {"log", true}}},
      {"z.optimizer", Value::Array{"sgd", "adam"}},
  };
}

TEST(SearchSpace, reads_every_kind) {
  const auto space = SearchSpace::from_value(space_of_optimizers());
  ASSERT_EQ(space.parameters().size(), 6U);
  EXPECT_EQ(space.find("model.rate")->distribution, (FloatDistribution{1e-4, 1.0, true}));
  EXPECT_EQ(space.find("data.batch_size")->distribution, (IntDistribution{16, 240, false, 16}));
  EXPECT_EQ(space.find("model.hidden_sizes")->distribution,
            (CategoricalDistribution{{"[16]", "[64,64]", 8}}));
  EXPECT_EQ(space.find("model.depth"), nullptr);
}

TEST(SearchSpace, a_condition_comes_after_what_it_depends_on_and_takes_parameters_away) {
  const auto space = SearchSpace::from_value(space_of_optimizers());
  std::vector<std::string> names;
  for (const auto& parameter : space.parameters()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"data.batch_size", "model.hidden_sizes", "model.rate",
                                             "z.optimizer", "a.momentum", "a.nesterov"}));
  ParameterValues values = {
      {"z.optimizer", 0.0}, {"a.momentum", 0.5}, {"a.nesterov", 1.0}, {"model.hidden_sizes", 1.0}};
  EXPECT_EQ(space.only_active(values).count("a.nesterov"), 0U);
  EXPECT_EQ(space.only_active(values).count("a.momentum"), 1U);
  values["z.optimizer"] = 1.0;
  const auto settings = space.settings(values);
  EXPECT_EQ(settings, (std::map<std::string, Value>{{"z.optimizer", "adam"},
                                                    {"model.hidden_sizes", Value::Array{64, 64}}}));
}

std::string refusal_of(const std::string& name, const Value& entry) {
  Value space = Value::Object{{"x", Value::Object{{"low", 0}, {"high", 4}}}};
  space[name] = entry;
  const auto place = [](std::string_view parameter, std::string_view key) {
    return "space.yaml, " + std::string(parameter) + "/" + std::string(key);
  };
  try {
    SearchSpace::from_value(space, place);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(SearchSpace, refuses_a_wrong_entry_and_says_where_it_stands) {
  struct Wrong {
    Value entry;
    std::string expected;
  };
  const std::vector<Wrong> entries = {
      {3, "space.yaml, y/: y: 3: must be a list of choices"},
      {Value::Object{{"low", 2}, {"high", 1}}, "space.yaml, y/: y: the range is empty"},
      {Value::Object{{"low", 2}}, "y: has no 'high'"},
      {Value::Object{{"low", 2}, {"hihg", 3}}, "space.yaml, y/hihg: y"},
      {Value::Object{{"low", 2}, {"hihg", 3}}, "high"},
      {Value::Object{{"kind", "flot"}, {"low", 2}, {"high", 3}}, "float"},
      {Value::Object{{"kind", "int"}, {"low", 0.5}, {"high", 3}}, "y/low: y: low = 0.5"},
      {Value::Object{{"low", "a"}, {"high", 3.0}}, "must be a number"},
      {Value::Object{{"low", 0}, {"high", 3}, {"log", true}}, "at least 1"},
      {Value::Object{{"choices", Value::Array{}}}, "there are no choices"},
      {Value::Array{}, "there are no choices"},
      {Value::Array{1, 1}, "occurs twice"},
      {Value::Object{{"choices", Value::Array{1}}, {"low", 0}}, "choices have no 'low'"},
      {Value::Object{{"low", 0}, {"high", 1}, {"when", Value::Object{{"xx", 1}}}}, "y/when: y"},
      {Value::Object{{"low", 0}, {"high", 1}, {"when", Value::Object{{"x", "s"}}}}, "never has"},
      {Value::Object{{"low", 0}, {"high", 1}, {"when", Value::Object{{"x", 9}}}}, "never has"},
      {Value::Object{{"low", 0}, {"high", 1}, {"when", Value::Object{{"y", 1}}}}, "leads back"},
  };
  for (const auto& [entry, expected] : entries) {
    const std::string refusal = refusal_of("y", entry);
    EXPECT_NE(refusal.find(expected), std::string::npos) << expected << "\nwas: " << refusal;
  }
  EXPECT_THROW(SearchSpace::from_value(Value::Object{}), ConfigError);
}

TEST(SearchSpace, names_the_setting_that_is_nearest_to_one_that_isnt_there) {
  const auto space = SearchSpace::from_value(
      Value::Object{{"model.learning_rat", Value::Object{{"low", 0.1}, {"high", 1.0}}}},
      [](std::string_view, std::string_view) { return std::string("space.yaml, line 7"); });
  try {
    space.check_names({"model.learning_rate", "data.batch_size"});
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("space.yaml, line 7"), std::string::npos) << text;
    EXPECT_NE(text.find("'model.learning_rate'"), std::string::npos) << text;
  }
  space.check_names({"model.learning_rat"});
}

}  // namespace levin::search_space_test
