#include <levin/framework/core/options.h>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::options_test {

using test::message_of;
using test::says;

/// A field of each type there is.
struct EveryType {
  bool flag = true;
  int64_t count = 3;
  double rate = 0.5;
  std::string word = "a";
  std::optional<bool> maybe_flag{};
  std::optional<int64_t> maybe_count{};
  std::optional<double> maybe_rate{};
  std::optional<std::string> maybe_word{};
  std::vector<int64_t> counts{1, 2};
  std::vector<double> rates{};
  std::vector<std::string> words{};
  CountOrFraction share{};
  CountFractionOrTime interval{};
  CountOrName devices{};
  NumbersOrName weights{};
  SwitchOrCount fast{};
  SwitchOrName last{};
  NamedSettings compression = "none";
  std::vector<NamedSettings> metrics{};
};

Fields describe(EveryType& o) {
  return fields_of<EveryType>({{"flag", &o.flag, ""},
                               {"count", &o.count, ""},
                               {"rate", &o.rate, ""},
                               {"word", &o.word, ""},
                               {"maybe_flag", &o.maybe_flag, ""},
                               {"maybe_count", &o.maybe_count, ""},
                               {"maybe_rate", &o.maybe_rate, ""},
                               {"maybe_word", &o.maybe_word, ""},
                               {"counts", &o.counts, ""},
                               {"rates", &o.rates, ""},
                               {"words", &o.words, ""},
                               {"share", &o.share, ""},
                               {"interval", &o.interval, ""},
                               {"devices", &o.devices, ""},
                               {"weights", &o.weights, ""},
                               {"fast", &o.fast, ""},
                               {"last", &o.last, ""},
                               {"compression", &o.compression, ""},
                               {"metrics", &o.metrics, ""}});
}
static_assert(std::variant_size_v<FieldPointer> == 19, "EveryType lacks a type");

class OptionsField : public ::testing::Test {
 protected:
  const Field& field(std::string_view name) const {
    for (const auto& each : fields) {
      if (each.name == name) return each;
    }
    throw std::invalid_argument(std::string(name));
  }
  /// Sets each value in turn and expects to get it back.
  void expect_takes(std::string_view name, const Value::Array& values) const {
    for (const auto& value : values) {
      field(name).set(value);
      EXPECT_EQ(field(name).get(), value) << name;
    }
  }
  /// Each value is refused with a message naming the field, the value and the type, and what was
  /// there before stays.
  void expect_refuses(std::string_view name, const Value::Array& values) const {
    const Value before = field(name).get();
    for (const auto& value : values) {
      const auto message = message_of<ConfigError>([&] { field(name).set(value); });
      EXPECT_TRUE(says(message, {name, value.to_json(), field(name).type_name()}));
      EXPECT_EQ(field(name).get(), before) << name << " after " << value.to_json();
    }
  }

  EveryType options;
  Fields fields = describe(options);
};

const Value kNull;
const Value kList = Value::Array{1};
const Value kObject = Value::Object{{"a", 1}};

TEST_F(OptionsField, bool_takes_bools) {
  expect_takes("flag", {false, true});
  expect_refuses("flag", {1, 0.0, "true", kNull, kList, kObject});
}

TEST_F(OptionsField, int_takes_whole_numbers) {
  expect_takes("count", {0, -5, std::numeric_limits<int64_t>::max()});
  EXPECT_EQ(options.count, std::numeric_limits<int64_t>::max());
  expect_refuses("count", {1.0, true, "1", kNull, kList, kObject});
}

TEST_F(OptionsField, float_takes_numbers) {
  expect_takes("rate", {0.25, -1e300});
  field("rate").set(3);
  EXPECT_EQ(options.rate, 3.0);
  EXPECT_TRUE(field("rate").get().is_double());
  expect_refuses("rate", {true, "1.0", kNull, kList, kObject});
}

TEST_F(OptionsField, str_takes_text) {
  expect_takes("word", {"", "text"});
  expect_refuses("word", {true, 1, 1.5, kNull, kList, kObject});
}

TEST_F(OptionsField, optionals_take_null_and_what_they_may_hold) {
  expect_takes("maybe_flag", {true, kNull, false});
  expect_takes("maybe_count", {5, kNull, 0});
  expect_takes("maybe_rate", {0.5, kNull, 0.0});
  expect_takes("maybe_word", {"a", kNull, ""});
  field("maybe_rate").set(2);
  EXPECT_EQ(options.maybe_rate, 2.0);
  expect_refuses("maybe_flag", {1, "true", kList});
  expect_refuses("maybe_count", {1.5, true, "1"});
  expect_refuses("maybe_rate", {true, "1"});
  expect_refuses("maybe_word", {1, kObject});
}

TEST_F(OptionsField, numbers_or_a_word_take_lists_and_text) {
  EXPECT_EQ(field("weights").get(), Value(Value::Array{}));
  expect_takes("weights", {Value::Array{0.5, 2.0}, "balanced", Value::Array{}});
  field("weights").set(Value::Array{1, 2.5});
  EXPECT_EQ(options.weights.numbers(), (std::vector<double>{1.0, 2.5}));
  EXPECT_EQ(options.weights.name(), "");
  expect_refuses("weights", {1.5, true, kNull, kObject, Value::Array{1, "2"}});
}

TEST_F(OptionsField, lists_take_lists_whole) {
  expect_takes("counts", {Value::Array{}, Value::Array{4, 5, 6}});
  expect_takes("rates", {Value::Array{0.5}, Value::Array{}});
  expect_takes("words", {Value::Array{"a", "b"}, Value::Array{}});
  field("rates").set(Value::Array{1, 2.5});
  EXPECT_EQ(options.rates, (std::vector<double>{1.0, 2.5}));
  expect_refuses("counts", {1, "1,2", kNull, kObject, Value::Array{1, 2.5}, Value::Array{1, "2"}});
  expect_refuses("rates", {0.5, Value::Array{0.5, true}});
  expect_refuses("words", {"a", Value::Array{"a", 1}});
}

TEST_F(OptionsField, classes_are_named_alone_or_with_settings) {
  const Value fbeta = Value::Object{{"name", "fbeta"}, {"beta", 2}};
  expect_takes("compression", {"topk", fbeta, "none"});
  EXPECT_EQ(options.compression.name, "none");
  EXPECT_EQ(options.compression.settings, Value(Value::Object{}));
  field("compression").set(fbeta);
  EXPECT_EQ(options.compression.name, "fbeta");
  EXPECT_EQ(options.compression.settings, Value(Value::Object{{"beta", 2}}));
  expect_refuses("compression", {1, kNull, kList, kObject, Value::Array{fbeta}});
  expect_takes("metrics", {Value::Array{"auroc", fbeta}, Value::Array{}, Value::Array{"f1"}});
  field("metrics").set(Value::Array{fbeta});
  EXPECT_EQ(options.metrics.at(0).name, "fbeta");
  EXPECT_EQ(options.metrics.at(0).settings, Value(Value::Object{{"beta", 2}}));
  expect_refuses("metrics", {"f1", fbeta, kNull, kList, Value::Array{kObject}});
}

TEST_F(OptionsField, count_or_fraction_tells_an_int_from_a_float) {
  expect_takes("share", {1, 1.0, 0, 0.0, 0.25});
  field("share").set(1);
  EXPECT_TRUE(options.share.is_count());
  EXPECT_EQ(options.share.count(), 1);
  field("share").set(1.0);
  EXPECT_FALSE(options.share.is_count());
  EXPECT_EQ(options.share.fraction(), 1.0);
  EXPECT_TRUE(CountOrFraction(1).is_count());
  EXPECT_FALSE(CountOrFraction(1.0).is_count());
  EXPECT_FALSE(CountOrFraction().is_count());
  EXPECT_EQ(CountOrFraction().fraction(), 1.0);
  expect_refuses("share", {true, "0.5", kNull, kList, kObject});
}

TEST_F(OptionsField, count_fraction_or_time_keeps_the_kind) {
  expect_takes("interval", {3, 0.5, "00:30:00"});
  field("interval").set(1);
  EXPECT_TRUE(options.interval.is_count());
  EXPECT_EQ(options.interval.count(), 1);
  field("interval").set(1.0);
  EXPECT_FALSE(options.interval.is_count());
  EXPECT_EQ(options.interval.fraction(), 1.0);
  field("interval").set("01:00");
  EXPECT_TRUE(options.interval.is_time());
  EXPECT_EQ(options.interval.time(), "01:00");
  EXPECT_EQ(CountFractionOrTime().fraction(), 1.0);
  expect_refuses("interval", {true, kNull, kList, kObject});
}

TEST_F(OptionsField, count_or_name_takes_a_number_a_word_or_a_list) {
  expect_takes("devices", {"auto", 2, -1, "0,1"});
  field("devices").set(Value::Array{0, 3});
  EXPECT_EQ(field("devices").get(), Value("0,3"));
  field("devices").set(Value::Array{1});  // device 1, not one device
  EXPECT_EQ(field("devices").get(), Value("1,"));
  expect_refuses("devices", {1.5, true, kNull, kObject, Value::Array{}, Value::Array{0, "1"}});
}

TEST_F(OptionsField, switch_or_count_takes_both) {
  expect_takes("fast", {true, false, 5});
  field("fast").set(1);
  EXPECT_EQ(field("fast").get(), Value(true));
  field("fast").set(0);
  EXPECT_EQ(field("fast").get(), Value(false));
  EXPECT_EQ(SwitchOrCount(true).count, 1);
  EXPECT_EQ(SwitchOrCount(5).count, 5);
  expect_refuses("fast", {1.5, "true", kNull, kList, kObject});
}

TEST_F(OptionsField, switch_or_name_takes_both) {
  expect_takes("last", {true, false, "link"});
  EXPECT_TRUE(SwitchOrName("link").is_on());
  EXPECT_EQ(SwitchOrName("link").name(), "link");
  EXPECT_TRUE(SwitchOrName(true).is_on());
  EXPECT_EQ(SwitchOrName(true).name(), "");
  EXPECT_FALSE(SwitchOrName().is_on());
  expect_refuses("last", {1, 1.5, kNull, kList, kObject});
}

TEST_F(OptionsField, type_names_are_those_of_python) {
  EXPECT_EQ(field("flag").type_name(), "bool");
  EXPECT_EQ(field("count").type_name(), "int");
  EXPECT_EQ(field("rate").type_name(), "float");
  EXPECT_EQ(field("word").type_name(), "str");
  EXPECT_EQ(field("maybe_count").type_name(), "int or null");
  EXPECT_EQ(field("words").type_name(), "list of str");
  EXPECT_EQ(field("share").type_name(), "int or float");
  EXPECT_EQ(field("devices").type_name(), "int or str");
  EXPECT_EQ(field("fast").type_name(), "bool or int");
  EXPECT_EQ(field("last").type_name(), "bool or str");
}

TEST_F(OptionsField, all_go_out_and_come_back) {
  options = {.flag = false, .count = 9, .maybe_rate = 0.125, .words = {"x"}, .share = 4, .fast = 3};
  const Value saved = Value::from_json(to_value(fields).to_json());
  EXPECT_EQ(saved.as_object().size(), fields.size());
  EveryType other;
  from_value(describe(other), saved, "EveryType");
  EXPECT_EQ(to_value(describe(other)), saved);
  EXPECT_EQ(other.count, 9);
  EXPECT_EQ(other.maybe_rate, 0.125);
  EXPECT_EQ(other.fast.count, 3);
}

TEST_F(OptionsField, from_value_leaves_the_others_alone) {
  from_value(fields, Value::Object{{"count", 8}}, "EveryType");
  EXPECT_EQ(options.count, 8);
  EXPECT_EQ(options.rate, 0.5);
}

TEST_F(OptionsField, from_value_names_the_class_the_key_and_the_nearest) {
  const auto set = [&](const Value& object, std::string_view where) {
    return message_of<ConfigError>([&] { from_value(fields, object, where); });
  };
  EXPECT_EQ(set(Value::Object{{"cuont", 1}}, "MLP"),
            "MLP: unknown key 'cuont'; did you mean 'count'?");
  EXPECT_TRUE(
      says(set(Value::Object{{"xxxxxxxxx", 1}}, "MLP"), {"the known ones are: flag, count, rate"}));
  EXPECT_EQ(set(Value::Object{{"count", "many"}}, "MLP"), "MLP: count = \"many\": expected int");
  EXPECT_EQ(set(Value::Object{{"count", "many"}}, ""), "count = \"many\": expected int");
  EXPECT_TRUE(says(set(5, "MLP"), {"MLP", "settings by name", "5"}));
  EXPECT_EQ(options.count, 3);
}

// fields_of counts an aggregate's fields when compiling; these are the kinds of field there are.
struct None {};
struct One {
  std::optional<int64_t> value{};
};
struct Mixed {
  std::string a = "x";
  std::vector<std::string> b{};
  CountOrFraction c{};
  std::optional<std::string> d{};
  CountOrName e{};
  SwitchOrCount f{};
  double g = 0.0;
  bool h = false;
};
static_assert(detail::field_count<None>() == 0);
static_assert(detail::field_count<One>() == 1);
static_assert(detail::field_count<Mixed>() == 8);
static_assert(detail::field_count<EveryType>() == 19);

}  // namespace levin::options_test
