#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include <levin/framework/core/error.h>
#include <levin/tuning/space/python_json.h>

namespace levin::python_json_test {

const double kInfinity = std::numeric_limits<double>::infinity();

TEST(PythonJson, reads_and_writes_what_python_does) {
  const std::string text =
      R"({"a":NaN,"b":[Infinity,-Infinity,1.0,1e-05,-3,true,null],"c":"\u00e9\ud83d\ude00\n\"\\"})";
  const Value value = from_python_json(text);
  EXPECT_TRUE(std::isnan(value.at("a").as_double()));
  EXPECT_EQ(value.at("b").as_array()[1].as_double(), -kInfinity);
  EXPECT_TRUE(value.at("b").as_array()[2].is_double());
  EXPECT_EQ(value.at("c").as_string(), "\u00e9\U0001f600\n\"\\");
  EXPECT_EQ(to_python_json(value), text);
  EXPECT_EQ(to_python_json(from_python_json(" { \"x\" : [ ] , \"y\":{}}\r\n")),
            R"({"x":[],"y":{}})");
  EXPECT_EQ(from_python_json("123456789012345678901234567890").as_double(), 1.2345678901234568e29);
  EXPECT_EQ(from_python_json(R"("\ud800x")").as_string(), "\uFFFDx");
  EXPECT_EQ(to_python_json(Value("\xFF\xC3")), R"("\ufffd\ufffd")");
  EXPECT_EQ(from_python_json("1e999").as_double(), kInfinity);
}

TEST(PythonJson, refuses_what_is_no_json) {
  for (const char* bad : {"", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "\"x", "\"\\q\"", "\"\\u12\"",
                          "nul", "1 2", "--1", "1.2.3", "+1", "{1:2}"}) {
    EXPECT_THROW(from_python_json(bad), DataError) << bad;
  }
  EXPECT_THROW(from_python_json(std::string(100000, '[')), DataError);
}

}  // namespace levin::python_json_test
