#include <levin/framework/core/value.h>

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>

#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin {
namespace {

using test::message_of;
using test::says;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Equal to the bit, NaN included.
bool same(const Value& a, const Value& b) {
  if (a.is_double() && b.is_double()) {
    return std::bit_cast<uint64_t>(a.as_double()) == std::bit_cast<uint64_t>(b.as_double());
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.as_array().begin(), a.as_array().end(), b.as_array().begin(),
                      b.as_array().end(), same);
  }
  if (a.is_object() && b.is_object()) {
    return std::equal(a.as_object().begin(), a.as_object().end(), b.as_object().begin(),
                      b.as_object().end(), [](const auto& x, const auto& y) {
                        return x.first == y.first && same(x.second, y.second);
                      });
  }
  return a == b;
}

void expect_json_round_trip(const Value& value) {
  for (const int indent : {0, 2}) {
    const std::string text = value.to_json(indent);
    EXPECT_TRUE(same(Value::from_json(text), value)) << text;
  }
}

double from_bits(uint64_t bits) { return std::bit_cast<double>(bits); }

std::string any_bytes(std::mt19937_64& random, size_t most) {
  std::string text(random() % (most + 1), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// Text in UTF-8 of characters from anywhere below the surrogates.
std::string any_text(std::mt19937_64& random, size_t most) {
  std::string text;
  for (size_t left = random() % (most + 1); left > 0; --left) {
    const auto code = static_cast<unsigned>(random() % (random() % 2 == 0 ? 0x80 : 0xd800));
    const auto tail = [&](unsigned shift) {
      return static_cast<char>(0x80 | ((code >> shift) & 0x3f));
    };
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += {static_cast<char>(0xc0 | (code >> 6)), tail(0)};
    } else {
      text += {static_cast<char>(0xe0 | (code >> 12)), tail(6), tail(0)};
    }
  }
  return text;
}

using MakeText = std::string (*)(std::mt19937_64&, size_t);

Value any_value(std::mt19937_64& random, int depth, MakeText text) {
  switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
      return {};
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<int64_t>(random());
    case 3:
      return from_bits(random());
    case 4:
      return static_cast<double>(random() % 1000) / 8;
    case 5:
      return text(random, 12);
    case 6: {
      Value::Array array;
      for (auto left = random() % 4; left > 0; --left) {
        array.push_back(any_value(random, depth - 1, text));
      }
      return array;
    }
    default: {
      Value::Object object;
      for (auto left = random() % 4; left > 0; --left) {
        object.emplace(text(random, 6), any_value(random, depth - 1, text));
      }
      return object;
    }
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
}

TEST(ValueJson, gives_back_any_tree) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) expect_json_round_trip(any_value(random, 4, any_bytes));
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

TEST(ValueJson, refuses_nesting_that_would_exhaust_the_stack) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Value::from_json(nested(400)).is_array());
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { Value::from_json(nested(200'000)); }), {"deep"}));
}

/// What our own reader of YAML (yaml-cpp) makes of it.
Value read_back(const std::string& yaml) { return parse_yaml(yaml, "test.yaml").plain(); }

TEST(ValueYaml, is_read_back_the_same) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    const Value value = any_value(random, 4, any_text);
    const std::string yaml = value.to_yaml();
    Value expected = Value::from_json(value.to_json());
    const Value actual = read_back(yaml);
    // YAML has one NaN.
    const auto forget_nan = [](auto& self, const Value& tree) -> Value {
      if (tree.is_double() && std::isnan(tree.as_double())) return kNan;
      if (tree.is_array()) {
        Value::Array array;
        for (const auto& item : tree.as_array()) array.push_back(self(self, item));
        return array;
      }
      if (!tree.is_object()) return tree;
      Value::Object object;
      for (const auto& [name, item] : tree.as_object()) object.emplace(name, self(self, item));
      return object;
    };
    ASSERT_TRUE(same(actual, forget_nan(forget_nan, expected))) << yaml << "\nread back as\n"
                                                                << actual.to_json();
  }
}

TEST(ValueYaml, text_that_looks_like_something_else_stays_text) {
  for (const char* word :
       {"true",  "False",      "yes",   "No",    "on",       "OFF",  "y",    "n",
        "null",  "Null",       "~",     "",      " ",        "1",    "-1",   "1.5",
        "1e5",   ".5",         ".inf",  "-.Inf", ".nan",     "nan",  "inf",  "0x10",
        "0o7",   "1_000",      "+1",    "a: b",  "a:",       ":",    "- a",  "-",
        "--",    "---",        "...",   "# c",   "a #b",     "{}",   "[]",   "*a",
        "&a",    "!t",         "%",     "@",     "`",        "|",    ">",    "'a'",
        "\"a\"", "a\nb",       " a",    "a ",    "a\t",      "\r\n", "?",    "? a",
        "a,b",   "2024-01-01", "=",     "<<",    "\xc3\xa4", "\x01", "\x7f", "00:01:00:00",
        "cpu",   "levin::MLP", "C:\\x", "e5",    "_"}) {
    EXPECT_EQ(read_back(Value(word).to_yaml()), Value(word)) << word;
    EXPECT_EQ(read_back(Value(Value::Array{word, 1}).to_yaml()), (Value::Array{word, 1})) << word;
    const Value nested = Value::Object{{"key", Value::Array{Value::Object{{"inner", word}}}}};
    EXPECT_EQ(read_back(nested.to_yaml()), nested) << word;
    if (std::string(word) == "<<") continue;  // as a key it merges
    const Value keyed = Value::Object{{word, 1}};
    EXPECT_EQ(read_back(keyed.to_yaml()), keyed) << word;
  }
}

TEST(ValueYaml, is_block_style_that_a_person_can_read) {
  Value value;
  value["model"]["class_path"] = "MLP";
  value["model"]["hidden_sizes"] = Value::Array{32, 16};
  value["rate"] = 1e-5;
  value["callbacks"] = Value::Array{Value::Object{{"name", "Timer"}, {"shown", true}}, "b"};
  value["nothing"] = {};
  EXPECT_EQ(value.to_yaml(),
            "callbacks:\n"
            "  - name: Timer\n"
            "    shown: true\n"
            "  - b\n"
            "model:\n"
            "  class_path: MLP\n"
            "  hidden_sizes: [32, 16]\n"
            "nothing: null\n"
            "rate: 1.0e-05\n");
}

TEST(ValueYaml, numbers_are_floats_for_yaml_1_1_too) {
  // YAML 1.1, which Python reads, wants a point in front of the exponent.
  EXPECT_EQ(Value(1e300).to_yaml(), "1.0e+300\n");
  EXPECT_EQ(Value(1.5e-7).to_yaml(), "1.5e-07\n");
  EXPECT_EQ(Value(2.0).to_yaml(), "2.0\n");
  EXPECT_EQ(Value(kNan).to_yaml(), ".nan\n");
  EXPECT_EQ(Value(-kInfinity).to_yaml(), "-.inf\n");
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

}  // namespace
}  // namespace levin
