#include <levin/datamodules/readers/sparse_rows.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_rows_test {

using test::expect_data_error;
using test::list_of;

SparseRows two_rows() {
  SparseRows rows;
  rows.add(0, 1.0F);
  rows.add(2, 1.0F);
  rows.end_row();
  rows.add(1, 1.0F);
  rows.end_row();
  rows.columns = 3;
  return rows;
}

TEST(ReadersSparseRows, values_take_no_memory_until_one_of_them_is_not_1) {
  SparseRows rows = two_rows();
  EXPECT_TRUE(rows.values.empty());
  EXPECT_EQ(rows.bytes(), 3 * 8U + 3 * 4U);
  rows.add(0, 0.5F);
  EXPECT_EQ(list_of(rows.values), (std::vector<float>{1, 1, 1, 0.5F}));
}

TEST(ReadersSparseRows, appended_rows_keep_their_values_weights_and_places) {
  SparseRows rows = two_rows();
  SparseRows more;
  more.add(2, 3.0F);
  more.end_row();
  more.weights.push_back(2.0F);
  rows.append(more);
  rows.append(two_rows());
  EXPECT_EQ(list_of(rows.offsets), (std::vector<int64_t>{0, 2, 3, 4, 6, 7}));
  EXPECT_EQ(list_of(rows.indices), (std::vector<int32_t>{0, 2, 1, 2, 0, 2, 1}));
  EXPECT_EQ(list_of(rows.values), (std::vector<float>{1, 1, 1, 3, 1, 1, 1}));
  EXPECT_EQ(list_of(rows.weights), (std::vector<float>{1, 1, 2, 1, 1}));
  const SparseRows part = rows.slice(2, 2);
  EXPECT_EQ(list_of(part.offsets), (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(list_of(part.values), (std::vector<float>{3, 1, 1}));
  EXPECT_EQ(list_of(part.weights), (std::vector<float>{2, 1}));
}

TEST(ReadersSparseRows, sorting_adds_the_values_of_one_column) {
  SparseRows rows = two_rows();
  for (const int32_t column : {7, 3, 7, 3, 5}) rows.add(column, static_cast<float>(column));
  EXPECT_TRUE(rows.sort_from(3));
  EXPECT_EQ(list_of(rows.indices), (std::vector<int32_t>{0, 2, 1, 3, 5, 7}));
  EXPECT_EQ(list_of(rows.values), (std::vector<float>{1, 1, 1, 6, 5, 14}));
  rows.add(1, std::numeric_limits<float>::max());
  rows.add(1, std::numeric_limits<float>::max());
  EXPECT_FALSE(rows.sort_from(6));
}

TEST(ReadersSparseRows, rows_of_any_length_are_sorted_as_by_the_standard_library) {
  std::mt19937 random(3);
  for (const bool has_values : {false, true}) {
    for (uint32_t count = 0; count < 150; ++count) {  // short rows, and long ones
      SparseRows rows;
      std::map<int32_t, float> sums = {{-1, 2.0F}};
      rows.add(2147483647, has_values ? 3.0F : 1.0F);  // a row before it, which stays as it is
      rows.end_row();
      // Every other row has a column twice, as a rule.
      const uint32_t columns = count % 2 == 0 ? 2147483647 : count * count;
      for (uint32_t i = 0; i < count; ++i) {
        const auto column = static_cast<int32_t>(random() % columns);
        const float value = has_values ? static_cast<float>(i) : 1.0F;
        rows.add(column, value);
        sums[column] += value;
      }
      ASSERT_TRUE(rows.sort_from(1));
      ASSERT_EQ(rows.indices.size(), sums.size());
      auto expected = ++sums.begin();
      for (size_t i = 1; i < rows.indices.size(); ++i, ++expected) {
        ASSERT_EQ(rows.indices[i], expected->first);
        ASSERT_EQ(rows.values.empty() ? 1.0F : rows.values[i], expected->second);
      }
    }
  }
}

TEST(ReadersSparseRows, check_finds_each_broken_promise) {
  two_rows().check("a.lvb", "copy it again");
  const auto expect_broken = [](const std::function<void(SparseRows&)>& change,
                                const std::string& reason) {
    SparseRows rows = two_rows();
    change(rows);
    expect_data_error([&] { rows.check("a.lvb", "copy it again"); }, reason);
  };
  expect_broken([](SparseRows& r) { r.indices[1] = 3; }, "the columns of row 0");
  expect_broken([](SparseRows& r) { r.indices[1] = 0; }, "the columns of row 0");
  expect_broken([](SparseRows& r) { r.indices[2] = -1; }, "the columns of row 1");
  expect_broken([](SparseRows& r) { r.offsets[1] = 9; }, "its entries lie outside the file");
  expect_broken([](SparseRows& r) { r.offsets[2] = 2; }, "the entries 0 to 2 instead of all");
  expect_broken([](SparseRows& r) { r.columns = int64_t{1} << 31; }, "2147483648 columns");
  expect_broken([](SparseRows& r) { r.targets.append_copies(2, std::nanf("")); },
                "target 0 is NaN or infinite");
}

TEST(ReadersSparseRows, a_list_of_numbers_keeps_them_when_it_grows_shrinks_and_moves) {
  NumberList<int32_t> list;
  for (int32_t i = 0; i < 100000; ++i) list.push_back(i);
  list.cut(70000);
  list.shrink();
  NumberList<int32_t> moved = std::move(list);
  moved.append_copies(3, 7);
  EXPECT_EQ(moved.size(), 70003U);
  EXPECT_EQ(moved[69999], 69999);
  EXPECT_EQ(moved.back(), 7);
}

}  // namespace levin::readers::sparse_rows_test
