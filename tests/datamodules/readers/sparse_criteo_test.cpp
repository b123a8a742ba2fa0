#include <levin/datamodules/readers/sparse_criteo.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/murmur_hash.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_criteo_test {

using test::expect_data_error;
using test::list_of;

SparseRows read_criteo(const std::string& text, const SparseCriteoOptions& options = {}) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.tsv", text);
  return read_sparse_criteo({folder / "a.tsv"}, options);
}

/// A line whose first three numbers and last category are given.
std::string line_with(const std::string& numbers, const std::string& category) {
  return "1\t" + numbers + std::string(11 + 25, '\t') + category + "\n";
}

/// The columns of tokens, and of those of the cells that line_with leaves empty.
std::vector<int32_t> columns_of(std::vector<std::string> tokens) {
  for (int i = 4; i <= 13; ++i) tokens.push_back("I" + std::to_string(i) + "-");
  for (int i = 1; i <= 25; ++i) tokens.push_back("C" + std::to_string(i) + "-");
  std::vector<int32_t> columns;
  for (const auto& token : tokens) {
    columns.push_back(static_cast<int32_t>(murmur_hash(token) & 0x3fffffff));
  }
  std::sort(columns.begin(), columns.end());
  return columns;
}

TEST(ReadersSparseCriteo, numbers_categories_and_missing_cells_get_tokens_of_their_own) {
  const auto rows =
      read_criteo(line_with("100\t2\t", "68fd1e64") + line_with("3\t-1\t0", ""), {.bits = 30});
  const auto all = list_of(rows.indices);
  ASSERT_EQ(all.size(), 78U);
  EXPECT_EQ(std::vector<int32_t>(all.begin(), all.begin() + 39),
            columns_of({"I1-21", "I2-SP2", "I3-", "C26-68fd1e64"}));
  EXPECT_EQ(std::vector<int32_t>(all.begin() + 39, all.end()),
            columns_of({"I1-1", "I2-SP-1", "I3-SP0", "C26-"}));
  EXPECT_EQ(list_of(rows.targets), (std::vector<float>{1, 1}));
  EXPECT_TRUE(rows.values.empty());
  EXPECT_EQ(rows.columns, int64_t{1} << 30);
}

TEST(ReadersSparseCriteo, tokens_that_share_a_column_are_added) {
  const auto rows = read_criteo(line_with("\t\t", ""), {.bits = 2});
  EXPECT_EQ(list_of(rows.indices), (std::vector<int32_t>{0, 1, 2, 3}));
  float sum = 0.0F;
  for (const float value : list_of(rows.values)) sum += value;
  EXPECT_EQ(sum, 39.0F);
}

TEST(ReadersSparseCriteo, lines_that_are_no_rows_are_refused_with_their_cells) {
  const std::string line = line_with("1\t2\t3", "a");
  expect_data_error([&] { read_criteo(line + "1\t2\n"); },
                    "a.tsv, line 2: found 2 cells, but a line must have 40");
  expect_data_error([&] { read_criteo(line.substr(2)); }, "set skip_targets = true");
  EXPECT_EQ(read_criteo(line.substr(2), {.skip_targets = true}).rows(), 1);
  expect_data_error([&] { read_criteo("x" + line); }, "line 1: the label is 'x1'");
  expect_data_error([] { read_criteo(line_with("1\t1.5\t", "")); },
                    "line 1: number 2 of 13 is '1.5'; it must be a whole number");
  EXPECT_THROW(read_criteo(line, {.bits = 31}), ConfigError);
}

TEST(ReadersSparseCriteo, numbers_and_categories_of_any_size_get_the_tokens_of_their_formula) {
  for (const int64_t number : {INT64_MIN, int64_t{-1}, int64_t{2}, int64_t{3}, int64_t{4095},
                               int64_t{4096}, int64_t{123456789}, INT64_MAX}) {
    const double log = std::log(static_cast<double>(std::max<int64_t>(number, 1)));
    const std::string token = number <= 2
                                  ? "SP" + std::to_string(number)
                                  : std::to_string(static_cast<int64_t>(std::floor(log * log)));
    const auto rows = read_criteo(line_with("\t\t" + std::to_string(number), ""), {.bits = 30});
    EXPECT_EQ(list_of(rows.indices), columns_of({"I1-", "I2-", "I3-" + token, "C26-"})) << number;
  }
  for (size_t size = 0; size < 12; ++size) {
    const std::string cell(size, 'f');
    const auto rows = read_criteo(line_with("\t\t", cell), {.bits = 30});
    EXPECT_EQ(list_of(rows.indices), columns_of({"I1-", "I2-", "I3-", "C26-" + cell})) << size;
    const auto first =
        read_criteo("0" + std::string(14, '\t') + cell + std::string(25, '\t'), {.bits = 30});
    auto columns = columns_of({"I1-", "I2-", "I3-", "C26-", "C1-" + cell});
    const auto empty = static_cast<int32_t>(murmur_hash("C1-") & 0x3fffffff);
    columns.erase(std::find(columns.begin(), columns.end(), empty));
    EXPECT_EQ(list_of(first.indices), columns) << size;
  }
}

TEST(ReadersSparseCriteo, tabs_are_found_at_every_place_and_only_tabs) {
  // A byte one above or below a tab, or with the highest bit, is a character like others.
  for (const std::string cell : {"\x08", "\x0b", "\x89", "\x8a\xff", "\x88\x0b\x08"}) {
    for (size_t before = 0; before < 9; ++before) {
      const std::string category = std::string(before, 'a') + cell;
      const auto rows = read_criteo(line_with("\t\t", category), {.bits = 30});
      EXPECT_EQ(list_of(rows.indices), columns_of({"I1-", "I2-", "I3-", "C26-" + category}));
    }
  }
  const std::string line = line_with("1\t2\t3", "a");
  expect_data_error([&] { read_criteo(line + line.substr(0, line.size() - 1) + "\tb\n"); },
                    "a.tsv, line 2: found 41 cells");
}

}  // namespace levin::readers::sparse_criteo_test
