#include <levin/framework/core/value.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <limits>
#include <random>

#include <levin/framework/core/error.h>

#include "framework/any_value.h"
#include "framework/message_of.h"

namespace levin::value_test {

using test::any_bytes;
using test::any_text;
using test::any_value;
using test::from_bits;
using test::message_of;
using test::same;
using test::says;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_json_round_trip(const Value& value) {
  for (const int indent : {0, 2}) {
    const std::string text = value.to_json(indent);
    EXPECT_TRUE(same(Value::from_json(text), value)) << text;
  }
}

TEST(ValueJson, gives_back_doubles_of_any_bits) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const double number = from_bits(random());
    ASSERT_TRUE(same(Value::from_json(Value(number).to_json()), number)) << number;
  }
  for (const double number : {0.0,
                              -0.0,
                              0.1,
                              1.0,
                              -1.0,
                              1e22,
                              1e23,
                              5e-324,
                              -5e-324,
                              2.2250738585072011e-308,
                              std::numeric_limits<double>::min(),
                              std::numeric_limits<double>::max(),
                              std::numeric_limits<double>::lowest(),
                              std::numeric_limits<double>::epsilon(),
                              9007199254740993.0,
                              kInfinity,
                              -kInfinity,
                              kNan,
                              -kNan,
                              from_bits(0x7ff0000000000001),
                              from_bits(0xfff8000000000000),
                              from_bits(0xffffffffffffffff)}) {
    expect_json_round_trip(number);
    expect_json_round_trip(Value::Array{number, number});
  }
}

TEST(ValueJson, a_double_stays_a_double_and_an_int_an_int) {
  EXPECT_TRUE(Value::from_json(Value(3.0).to_json()).is_double());
  EXPECT_TRUE(Value::from_json(Value(1e15).to_json()).is_double());
  EXPECT_TRUE(Value::from_json(Value(3).to_json()).is_int());
}

TEST(ValueJson, gives_back_ints_at_their_limits) {
  for (const int64_t number :
       {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::min() + 1, int64_t{-1},
        int64_t{0}, int64_t{9007199254740993}, std::numeric_limits<int64_t>::max()}) {
    expect_json_round_trip(number);
    EXPECT_EQ(Value(number).to_json(), std::to_string(number));
  }
}

TEST(ValueJson, an_int_that_does_not_fit_becomes_a_double_and_never_another_int) {
  const Value value = Value::from_json("[9223372036854775808, 18446744073709551615, 1e3]");
  EXPECT_EQ(value, (Value::Array{9223372036854775808.0, 18446744073709551615.0, 1000.0}));
  EXPECT_EQ(Value::from_json("123456789012345678901234567890"), 123456789012345678901234567890.0);
}

TEST(ValueJson, gives_back_text_of_any_bytes) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (const std::string& text :
       {std::string(), std::string(1, '\0'), std::string("a\0b", 3), all, std::string("\xff"),
        std::string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), std::string("\xed\xa0\x80"),
        std::string("\xc0\x80"), std::string("\xe2\x82"), std::string("\"\\/\b\f\n\r\t\x7f")}) {
    expect_json_round_trip(text);
    expect_json_round_trip(Value::Object{{text, text}});
    expect_json_round_trip(Value::Object{{text, 1}, {"other", 2}});
  }
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) expect_json_round_trip(any_bytes(random, 8));
}

TEST(ValueJson, gives_back_objects_that_look_like_its_own_notation) {
  for (const char* name : {"$float", "$bytes", "$pairs", "$", "float"}) {
    for (const Value& item : {Value("nan"), Value("ff"), Value(1.5), Value(kNan), Value(),
                              Value(Value::Array{Value::Array{"a", 1}})}) {
      expect_json_round_trip(Value::Object{{name, item}});
      expect_json_round_trip(Value::Object{{name, item}, {"b", 2}});
    }
  }
  // What only resembles it is taken as it is.
  for (const char* text :
       {R"({"$float":"word"})", R"({"$float":1})", R"({"$bytes":"f"})", R"({"$bytes":"xy"})",
        R"({"$pairs":[["a"]]})", R"({"$pairs":[[1,2]]})", R"({"$float":"7ff8"})"}) {
    EXPECT_TRUE(Value::from_json(text).is_object()) << text;
  }
  EXPECT_EQ(
      Value::from_json(R"({"$pairs":[["a",1],["b"]]})"),
      Value(Value::Object{{"$pairs", Value::Array{Value::Array{"a", 1}, Value::Array{"b"}}}}));
}

TEST(ValueJson, gives_back_any_tree) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) expect_json_round_trip(any_value(random, 4, any_bytes));
}

// Its bytes stay the same from version to version, as those of checkpoints should.
TEST(ValueJson, is_the_text_that_nlohmanns_library_writes) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    const Value value = any_value(random, 4, any_bytes);
    for (const int indent : {0, 1, 4}) {
      const std::string text = value.to_json(indent);
      ASSERT_EQ(nlohmann::json::parse(text).dump(indent > 0 ? indent : -1), text);
    }
  }
  EXPECT_EQ(Value(Value::Array{}).to_json(2), "[]");
  EXPECT_EQ(Value(Value::Array{Value::Object{}, 1}).to_json(1), "[\n {},\n 1\n]");
}

TEST(ValueJson, is_plain_json) {
  Value value;
  value["b"] = Value::Array{1, 2.5, "x", true, nullptr};
  value["a"] = Value::Object{};
  EXPECT_EQ(value.to_json(), R"({"a":{},"b":[1,2.5,"x",true,null]})");
  EXPECT_EQ(Value(Value::Object{{"a", 1}}).to_json(2), "{\n  \"a\": 1\n}");
}

TEST(ValueJson, refuses_what_is_not_json) {
  for (const char* text : {"", "{", "[1,", "{\"a\" 1}", "nan", "'a'", "[1] 2", "\"\xff\"", "1e999",
                           "{a: 1}", "[1 2]", "\x01"}) {
    EXPECT_TRUE(says(message_of<CheckpointError>([&] { Value::from_json(text); }), {"JSON"}))
        << text;
  }
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value::from_json("[1, x]"); }), {"column 5"}));
}

/// With a time for each object that grows with the list, this would take minutes.
TEST(ValueJson, a_long_list_of_objects_is_read_in_linear_time) {
  std::string text = "[";
  for (int i = 0; i < 500'000; ++i) text += "{},";
  EXPECT_EQ(Value::from_json(text + "{}]").as_array().size(), 500'001U);
}

TEST(ValueJson, of_members_with_the_same_name_the_last_one_counts) {
  EXPECT_EQ(Value::from_json(R"({"a":1,"b":2,"a":3})"), Value(Value::Object{{"a", 3}, {"b", 2}}));
}

TEST(ValueJson, refuses_nesting_that_would_exhaust_the_stack) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Value::from_json(nested(500)).is_array());
  EXPECT_THROW(Value::from_json(nested(501)), CheckpointError);
  // The parser stops at the level that is too deep, so it doesn't see that the text is cut short.
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { Value::from_json(std::string(20 << 20, '[')); }),
           {"the JSON text is nested more than 500 levels deep"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { Value::from_json(nested(200'000)); }),
                   {"the JSON text is nested more than 500 levels deep"}));
}

TEST(ValueAccess, gives_the_type_it_holds) {
  EXPECT_TRUE(Value().is_null());
  EXPECT_TRUE(Value(nullptr).is_null());
  EXPECT_TRUE(Value(true).as_bool());
  EXPECT_EQ(Value(7).as_int(), 7);
  EXPECT_EQ(Value(0.5).as_double(), 0.5);
  EXPECT_EQ(Value(7).as_double(), 7.0);
  EXPECT_EQ(Value("a").as_string(), "a");
  EXPECT_EQ(Value(std::string_view("ab")).as_string(), "ab");
  EXPECT_TRUE(Value("a").is_string());  // and not a bool, as a pointer would be
}

TEST(ValueAccess, refuses_another_type_and_shows_the_value) {
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value("a").as_bool(); }), {"true", "\"a\""}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value(1.5).as_int(); }), {"whole", "1.5"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value(true).as_double(); }), {"number"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value(1).as_string(); }), {"text", "1"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value(1).as_array(); }), {"list"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([] { Value().as_object(); }), {"object", "null"}));
  Value number = 1;
  EXPECT_THROW(number.as_array(), CheckpointError);
  EXPECT_THROW(number.as_object(), CheckpointError);
  EXPECT_THROW(number["a"], CheckpointError);
  EXPECT_EQ(number, Value(1));
  const std::string huge =
      message_of<CheckpointError>([] { Value(std::string(5000, 'x')).as_int(); });
  EXPECT_LT(huge.size(), 200U);
}

TEST(ValueAccess, what_a_temporary_holds_outlives_it) {
  std::vector<std::string> words;
  const auto json = [] {
    return Value::from_json(R"({"a": {"b": ["first of some length", "x"]}})");
  };
  for (const auto& item : json().at("a").at("b").as_array()) words.push_back(item.as_string());
  for (const auto& [name, item] : json().at("a").as_object()) words.push_back(name);
  EXPECT_EQ(words, (std::vector<std::string>{"first of some length", "x", "b"}));
  static_assert(std::is_same_v<decltype(json().at("a")), Value>);
  static_assert(std::is_same_v<decltype(json().as_object()), Value::Object>);
}

TEST(ValueAccess, finds_and_makes_members) {
  Value value;
  EXPECT_FALSE(value.contains("a"));
  value["a"]["b"] = 1;
  EXPECT_TRUE(value.contains("a"));
  EXPECT_EQ(value.at("a").at("b"), Value(1));
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { value.at("c"); }), {"'c'"}));
  EXPECT_TRUE(value["c"].is_null());
  EXPECT_TRUE(value.contains("c"));
  EXPECT_FALSE(Value(1).contains("a"));
}

}  // namespace levin::value_test
