#include <levin/datamodules/tables/table_file.h>

#include "datamodules/tables/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <random>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

// Tables that are read and fitted some rows at a time, in bounded memory.

namespace levin::streamed_table_test {

using tables::MedianFinder;
using tables::MissingRule;
using tables::NumberSums;
using tables::TableCursor;
using tables::TableFile;
using tables::TableRows;
using tables::TableSettings;
using tables::TextTable;
using test::message_of;
using test::says;
using Names = std::vector<std::string>;

constexpr const char* kChurn = LEVIN_SOURCE_DIR "/examples/data/churn.csv";

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::shared_ptr<const TableFile> open(const std::filesystem::path& path) {
  return std::make_shared<const TableFile>(path);
}

/// The cells of the rows from `first` on, `piece` rows at a time.
Names cells_of(const TableRows& rows, int64_t first, int64_t piece) {
  Names cells;
  TextTable table = rows.file().header();
  for (TableCursor cursor(rows, first); cursor.next(piece, table);) {
    EXPECT_LE(table.rows(), piece);
    for (int64_t row = 0; row < table.rows(); ++row) {
      for (size_t column = 0; column < table.columns().size(); ++column) {
        cells.push_back(table.place(row, column) + ": " + std::string(table.cell(row, column)));
      }
    }
  }
  return cells;
}

/// What TableRows of these rows is fitted to, `piece` rows at a time.
tables::FittedTable fit_stream(const TableRows& rows, const TableSettings& settings,
                               size_t most_kept, int64_t piece, int* passes = nullptr) {
  tables::TableFitter fitter(rows.file().header(), settings, most_kept);
  TextTable table = rows.file().header();
  do {
    if (passes != nullptr) ++*passes;
    for (TableCursor cursor(rows); cursor.next(piece, table);) {
      for (int64_t row = 0; row < table.rows(); ++row) fitter.add(table, row);
    }
  } while (fitter.end_pass());
  Names notes;
  return fitter.finish(notes);
}

class StreamedTable : public ::testing::Test {
 protected:
  std::shared_ptr<const TableFile> file(const std::string& text) const {
    write_file(folder_ / "a.csv", text);
    return open(folder_ / "a.csv");
  }
  test::TemporaryFolder folder_;
};

TEST_F(StreamedTable, has_the_cells_and_places_of_a_table_in_memory_from_any_row_on) {
  std::string text =
      "\xef\xbb\xbf"
      "a,b\r\n\r\n";
  for (int i = 0; i < 9000; ++i) {  // over several marks
    text +=
        i % 7 == 3 ? "\"x\n\"\"y, " + std::to_string(i) + "\", 1\n" : std::to_string(i) + ",z \r\n";
    if (i % 50 == 0) text += " \n";
  }
  const auto stream = file(text);
  const auto memory = TextTable::read(folder_ / "a.csv");
  ASSERT_EQ(stream->rows(), memory.rows());
  Names all;
  for (int64_t row = 0; row < memory.rows(); ++row) {
    for (size_t column = 0; column < 2; ++column) {
      all.push_back(memory.place(row, column) + ": " + std::string(memory.cell(row, column)));
    }
  }
  EXPECT_EQ(cells_of(TableRows(stream), 0, 1000), all);
  EXPECT_EQ(cells_of(TableRows(stream), 8765, 1000), Names(all.begin() + 2 * 8765, all.end()));
  const TableRows chosen(stream, [](int64_t row) { return row > 5000 && row % 3 == 0; });
  Names some;
  for (size_t row = 5001; row < all.size() / 2; row += 3) {
    some.insert(some.end(), {all[2 * row], all[2 * row + 1]});
  }
  ASSERT_EQ(chosen.rows(), std::ssize(some) / 2);
  EXPECT_EQ(cells_of(chosen, 0, 64), some);
  EXPECT_EQ(cells_of(chosen, 700, 64), Names(some.begin() + 1400, some.end()));
  EXPECT_EQ(TableRows(stream, [](int64_t) { return false; }).rows(), 0);
}

TEST_F(StreamedTable, refuses_broken_rows_when_it_is_opened_and_a_file_that_changed) {
  EXPECT_TRUE(says(message_of<DataError>([&] { file("a,b\n1,2\n3\n"); }), {"a.csv, line 3"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { file("a,b\n1,\"2\n"); }), {"a.csv, line 2"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { file("a,b\n"); }), {"a.csv"}));
  const TableRows rows(file("a,b\n1,2\n"));
  write_file(folder_ / "a.csv", "a,b\n1,2\n3,4\n");
  EXPECT_TRUE(says(message_of<DataError>([&] { TableCursor cursor(rows); }), {"a.csv"}));
}

TEST_F(StreamedTable, is_fitted_to_the_same_bits_as_in_memory) {
  const auto memory = TextTable::read(kChurn);
  std::vector<int64_t> training;
  for (int64_t row = 0; row < memory.rows(); ++row) {
    if (row % 4 != 1) training.push_back(row);
  }
  std::shuffle(training.begin(), training.end(), std::mt19937(1));  // the order plays no part
  const TableRows rows(open(kChurn), [](int64_t row) { return row % 4 != 1; });
  for (const auto kind : {MissingRule::Kind::mean, MissingRule::Kind::median,
                          MissingRule::Kind::most_frequent, MissingRule::Kind::constant}) {
    auto settings = test::table_settings("churn");
    settings.key = "customer";
    settings.exclude = {"signup", "comment"};
    settings.missing = {kind, 3.0};
    settings.missing_in = {"payment=category"};
    settings.hashed = {"region"};
    settings.missing_indicator = settings.standardize = true;
    Names notes;
    const auto expected = tables::fit_table(memory, training, settings, notes);
    EXPECT_EQ(fit_stream(rows, settings, 1000, 7), expected);
    int passes = 0;  // with few numbers that may be kept
    const bool is_median = kind == MissingRule::Kind::median;
    if (kind == MissingRule::Kind::most_frequent) continue;
    EXPECT_EQ(fit_stream(rows, settings, 12, 100, &passes), expected);
    EXPECT_EQ(passes, is_median ? 2 : 1);
  }
}

TEST_F(StreamedTable, refuses_more_distinct_cells_than_it_may_keep) {
  std::string text = "id,n,y\n";
  for (int i = 0; i < 40; ++i) {
    text += "k" + std::to_string(i) + "," + std::to_string(i) + "," + std::to_string(i) + "\n";
  }
  const TableRows rows(file(text));
  auto settings = test::table_settings();
  const auto refusal = [&] {
    return message_of<DataError>([&] { fit_stream(rows, settings, 30, 8); });
  };
  EXPECT_TRUE(says(refusal(), {"a.csv, column 1 (id)", "more than 30 different texts",
                               "hashed = [\"id\"]", "exclude = [\"id\"]", "stream = false"}));
  settings.hashed = {"id"};
  EXPECT_EQ(fit_stream(rows, settings, 30, 8).columns.size(), 3U);
  settings.missing.kind = MissingRule::Kind::most_frequent;
  settings.exclude = {"id"};
  EXPECT_TRUE(says(refusal(), {"a.csv, column 2 (n)", "more than 30 different numbers", "median"}));
  settings.exclude = {"id", "n"};
  settings.features = {"n"};
  settings.exclude = {};
  settings.missing.kind = MissingRule::Kind::mean;
  settings.target = "y";
  EXPECT_TRUE(says(
      refusal(), {"a.csv, column 3 (y)", "more than 30 different targets", "target_type = value"}));
  settings.target_type = readers::TargetType::values;
  EXPECT_TRUE(fit_stream(rows, settings, 30, 8).has_values);
}

TEST_F(StreamedTable, numbers_in_front_of_the_texts_of_a_category_are_counted_in_a_second_pass) {
  std::string text = "c\n";
  for (int i = 0; i < 17000; ++i) text += std::to_string(i) + "\n";
  for (int i = 0; i < 17001; ++i) text += i % 2 == 0 ? "u\n" : "v\n";
  const TableRows rows(file(text));
  int passes = 0;
  const auto fitted = fit_stream(rows, test::table_settings(), 20000, 4096, &passes);
  EXPECT_EQ(passes, 2);
  EXPECT_EQ(fitted, test::fit(text, test::table_settings()));
  EXPECT_EQ(fitted.width(), 17002);
}

TEST(NumberSums, neither_order_nor_distance_from_zero_shows) {
  std::vector<double> numbers;
  std::mt19937 generator(3);
  for (int i = 0; i < 1000; ++i) {
    numbers.push_back(1e9 + std::ldexp(static_cast<double>(generator() % 1024), -10));
  }
  NumberSums sums;
  NumberSums near;
  for (const double number : numbers) sums.add(number);
  for (const double number : numbers) near.add(number - 1e9);
  std::sort(numbers.begin(), numbers.end());
  NumberSums sorted;
  for (const double number : numbers) sorted.add(number);
  EXPECT_EQ(sorted.mean(), sums.mean());
  EXPECT_EQ(sorted.variance(), sums.variance());
  EXPECT_EQ(near.variance(), sums.variance());
  NumberSums constant;
  for (int i = 0; i < 1000; ++i) constant.add(0.1);
  EXPECT_EQ(constant.mean(), 0.1);
  EXPECT_EQ(constant.variance(), 0.0);
  NumberSums copies;
  copies.add(1.5);
  copies.add_copies(0.25, 1000);
  NumberSums each;
  each.add(1.5);
  for (int i = 0; i < 1000; ++i) each.add(0.25);
  EXPECT_EQ(copies.mean(), each.mean());
  EXPECT_EQ(copies.variance(), each.variance());
}

/// The median of numbers of which few may be kept.
double median_of(const std::vector<double>& numbers, size_t most_kept, int& passes) {
  MedianFinder finder(most_kept);
  passes = 0;
  do {
    ++passes;
    for (const double number : numbers) finder.add(number);
  } while (finder.end_pass());
  return finder.median();
}

TEST(MedianFinder, is_exact_however_few_numbers_are_kept) {
  std::mt19937 generator(5);
  std::normal_distribution<double> normal(0.0, 1.0);
  const auto tiny = [&] {
    return 1.0 + std::ldexp(normal(generator), -30);
  };  // one bucket at first
  const auto pair = [&] { return generator() % 2 == 0 ? -2.0 : 3.0; };
  const std::vector<std::function<double()>> kinds = {
      [&] { return normal(generator); }, tiny, pair,
      [&] { return std::exp(40 * normal(generator)); }};
  for (const auto& kind : kinds) {
    for (const size_t count : {1U, 2U, 999U, 1000U}) {
      std::vector<double> numbers(count);
      for (auto& number : numbers) number = kind();
      auto sorted = numbers;
      std::sort(sorted.begin(), sorted.end());
      const double expected = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
      int passes = 0;
      EXPECT_EQ(median_of(numbers, 2000, passes), expected);
      EXPECT_EQ(passes, 1);
      for (const size_t most_kept : {0U, 1U, 10U}) {
        EXPECT_EQ(median_of(numbers, most_kept, passes), expected);
        EXPECT_LE(passes, 5);
      }
    }
  }
}

}  // namespace levin::streamed_table_test
