#include <levin/framework/core/value.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>

#include "framework/any_value.h"

namespace levin::value_yaml_test {

using test::any_bytes;
using test::any_text;
using test::any_value;
using test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

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
    const Value keyed = Value::Object{{word, 1}};
    EXPECT_EQ(read_back(keyed.to_yaml()), keyed) << word;
  }
}

TEST(ValueYaml, bytes_that_are_no_text_are_read_back_the_same) {
  std::mt19937_64 random(5);
  std::vector<std::string> texts = {"caf\xe9.csv",      "\xff", std::string("\0\xc3", 2),
                                    "\xef\xbf\xbe",       // U+FFFE, which stands for no character
                                    "a \xef\xb7\x90 b",   // U+FDD0, the same
                                    "\xed\xa0\x80",       // half of a surrogate pair
                                    "\xef\xbf\xbd",       // U+FFFD, the replacement character
                                    "\xf0\x9f\x98\x80"};  // U+1F600
  for (int i = 0; i < 200; ++i) texts.push_back(any_bytes(random, 12));
  for (const auto& text : texts) {
    const Value value = Value::Object{{"inner", Value::Array{text, 1}}, {text, text}};
    EXPECT_EQ(read_back(value.to_yaml()), value) << value.to_yaml();
  }
  EXPECT_EQ(Value("caf\xe9").to_yaml(), "!!binary \"Y2Fm6Q==\"\n");
  EXPECT_THROW(read_back("a: !!binary '?'"), ConfigError);
}

TEST(ValueYaml, long_text_and_long_keys_are_read_back_the_same) {
  const std::string plain(3000, 'a');
  const std::string quoted = plain + " # " + plain;
  const Value value = Value::Object{{plain, quoted},
                                    {quoted, Value::Array{plain, quoted}},
                                    {std::string(400, '\x01'), Value::Object{{"short", 1}}},
                                    {std::string(1000, '\xff'), 2}};
  EXPECT_EQ(read_back(value.to_yaml()), value);
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

}  // namespace levin::value_yaml_test
