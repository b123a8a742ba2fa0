#include <levin/framework/core/csv_cell.h>

#include <gtest/gtest.h>

namespace levin::csv_cell_test {

TEST(CsvCell, is_quoted_if_a_reader_could_take_it_for_something_else) {
  EXPECT_EQ(csv_cell("train loss"), "train loss");
  EXPECT_EQ(csv_cell(""), "\"\"");
  EXPECT_EQ(csv_cell("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_cell("a \"b\""), "\"a \"\"b\"\"\"");
  EXPECT_EQ(csv_cell("a\nb"), "\"a\nb\"");
  EXPECT_EQ(csv_cell("a\r"), "\"a\r\"");
  EXPECT_EQ(csv_cell(" a"), "\" a\"");
  EXPECT_EQ(csv_cell("a "), "\"a \"");
}

}  // namespace levin::csv_cell_test
