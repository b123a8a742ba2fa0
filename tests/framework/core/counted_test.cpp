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

}  // namespace levin::counted_test
