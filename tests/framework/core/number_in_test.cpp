#include <levin/framework/core/number_in.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

namespace levin::number_in_test {

TEST(NumberIn, reads_a_text_that_is_one_number) {
  EXPECT_EQ(number_in<int64_t>("-42"), -42);
  EXPECT_EQ(number_in<uint16_t>("65535"), 65535);
  EXPECT_EQ(number_in<int64_t>("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(number_in<double>("-1.5e3"), -1500.0);
  EXPECT_EQ(number_in<uint8_t>("fF", 16), 255);
  EXPECT_EQ(number_in<double>("0.25", std::chars_format::fixed), 0.25);
  EXPECT_EQ(number_in<double>("inf"), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(number_in<double>("nan").value_or(0.0)));
}

TEST(NumberIn, gives_nothing_for_any_other_text) {
  for (const std::string_view text : {"", " 1", "1 ", "+1", "1x", "x", "0x1", "--1", "-", "1.0"}) {
    EXPECT_EQ(number_in<int64_t>(text), std::nullopt) << text;
  }
  for (const std::string_view text : {"", " 1", "1 ", "+1", "1,5", "1e", "1e+", "0x1p2"}) {
    EXPECT_EQ(number_in<double>(text), std::nullopt) << text;
  }
  EXPECT_EQ(number_in<double>("1e3", std::chars_format::fixed), std::nullopt);
  EXPECT_EQ(number_in<uint8_t>("fg", 16), std::nullopt);
  EXPECT_EQ(number_in<int64_t>(std::string_view("1\0", 2)), std::nullopt);
}

TEST(NumberIn, gives_nothing_for_a_number_that_doesnt_fit_the_type) {
  EXPECT_EQ(number_in<uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(number_in<uint64_t>("-1"), std::nullopt);
  EXPECT_EQ(number_in<int64_t>("9223372036854775808"), std::nullopt);
  EXPECT_EQ(number_in<double>("1e999"), std::nullopt);
  EXPECT_EQ(number_in<double>("1e-999"), std::nullopt);
}

TEST(NumberIn, reads_no_further_than_the_text) {
  EXPECT_EQ(number_in<int>(std::string_view("1234").substr(1, 2)), 23);
}

}  // namespace levin::number_in_test
