#include <levin/framework/core/counted.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

// Numbers with their nouns, as messages give them.

namespace levin::counted_test {

TEST(Counted, only_one_is_singular) {
  EXPECT_EQ(counted(0, "byte"), "0 bytes");
  EXPECT_EQ(counted(1, "byte"), "1 byte");
  EXPECT_EQ(counted(2, "more file"), "2 more files");
  EXPECT_EQ(counted(-1, "row"), "-1 rows");
}

TEST(Counted, takes_numbers_of_any_size) {
  EXPECT_EQ(counted(std::numeric_limits<uint64_t>::max(), "byte"), "18446744073709551615 bytes");
  EXPECT_EQ(counted(std::numeric_limits<int64_t>::min(), "step"), "-9223372036854775808 steps");
}

TEST(Counted, seconds_have_no_exponent) {
  EXPECT_EQ(in_seconds(0.25), "0.25 s");
  EXPECT_EQ(in_seconds(1.5), "1.5 s");
  EXPECT_EQ(in_seconds(99.97), "100 s");
  EXPECT_EQ(in_seconds(1800.02), "1800 s");
  EXPECT_EQ(in_seconds(86400.4), "86400 s");
}

}  // namespace levin::counted_test
