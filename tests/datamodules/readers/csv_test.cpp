#include <levin/datamodules/readers/csv.h>

#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/text_shard.h>

#include "datamodules/readers/support.h"

namespace levin::readers::csv_test {

using test::expect_data_error;
using Names = std::vector<std::string>;
using Values = std::vector<double>;

CsvTable parse(std::string_view text, const CsvOptions& options = {}) {
  return parse_csv(text, "a.csv", options);
}

TEST(ReadersCsv, reads_numbers_below_a_header) {
  const CsvTable table = parse("length,width\n1,2.5\n-3e2, +4 \n");
  EXPECT_EQ(table.columns, (Names{"length", "width"}));
  EXPECT_EQ(table.rows, 2);
  EXPECT_EQ(table.values, (Values{1, 2.5, -300, 4}));
  EXPECT_TRUE(table.targets.empty());
}

TEST(ReadersCsv, names_columns_by_place_where_there_is_no_header) {
  const CsvTable table = parse("1,2\n3,4\n");
  EXPECT_EQ(table.columns, (Names{"column_0", "column_1"}));
  EXPECT_EQ(table.values, (Values{1, 2, 3, 4}));
}

TEST(ReadersCsv, takes_the_callers_word_for_the_header) {
  CsvOptions options;
  options.header = CsvHeader::present;
  EXPECT_EQ(parse("2019,2020\n1,2\n", options).columns, (Names{"2019", "2020"}));
  options.header = CsvHeader::absent;
  expect_data_error([&] { parse("x,y\n1,2\n", options); },
                    "a.csv, line 1, column 1 (column_0): the cell is 'x'");
}

TEST(ReadersCsv, finds_commas_semicolons_and_tabs_and_takes_a_given_delimiter) {
  for (const char* text : {"a,b\n1,2\n", "a;b\n1;2\n", "a\tb\n1\t2\n", "\"a;\tb\",b\n1,2\n"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse(text).values, (Values{1, 2}));
  }
  CsvOptions options;
  options.delimiter = '|';
  EXPECT_EQ(parse("1|2\n", options).values, (Values{1, 2}));
  EXPECT_EQ(parse("x\n1\n2\n").values, (Values{1, 2}));
}

TEST(ReadersCsv, reads_every_kind_of_line_end_and_a_byte_order_mark) {
  const Values expected = {1, 2, 3, 4};
  for (const char* text : {"a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r",
                           "\xef\xbb\xbf"
                           "a,b\n1,2\n3,4\n",
                           "a,b\n1,2\n3,4\n\n\r\n"}) {
    SCOPED_TRACE(text);
    const CsvTable table = parse(text);
    EXPECT_EQ(table.values, expected);
    EXPECT_EQ(table.columns[0], "a");
  }
}

TEST(ReadersCsv, reads_quoted_cells_as_rfc_4180_says) {
  const CsvTable table = parse("\"a \"\"b\"\"\",\"c,\nd\"\r\n\"1\",2\r\n");
  EXPECT_EQ(table.columns, (Names{"a \"b\"", "c,\nd"}));
  EXPECT_EQ(table.values, (Values{1, 2}));
}

TEST(ReadersCsv, counts_the_lines_inside_quotes) {
  expect_data_error([] { parse("\"a\nb\",c\n1,2\n3,x\n"); }, "line 4, column 2 (c)");
}

TEST(ReadersCsv, maps_names_to_classes_in_order_of_first_appearance_or_sorted) {
  const std::string text = "x,kind\n1,virginica\n2,setosa\n3, virginica\n4,\"versicolor\"\n";
  CsvOptions options;
  options.target_column = "kind";
  CsvTable table = parse(text, options);
  EXPECT_EQ(table.columns, Names{"x"});
  EXPECT_EQ(table.target_name, "kind");
  EXPECT_EQ(table.values, (Values{1, 2, 3, 4}));
  EXPECT_EQ(table.classes, (Names{"virginica", "setosa", "versicolor"}));
  EXPECT_EQ(table.targets, (Values{0, 1, 0, 2}));
  options.sort_classes = true;
  table = parse(text, options);
  EXPECT_EQ(table.classes, (Names{"setosa", "versicolor", "virginica"}));
  EXPECT_EQ(table.targets, (Values{2, 0, 2, 1}));
}

TEST(ReadersCsv, leaves_a_numeric_target_column_as_it_is) {
  CsvOptions options;
  options.target_column = "y";
  const CsvTable table = parse("y,x\n3,1\n1,2\n", options);
  EXPECT_EQ(table.targets, (Values{3, 1}));
  EXPECT_TRUE(table.classes.empty());
  EXPECT_EQ(table.values, (Values{1, 2}));
  expect_data_error([&] { parse("y,x\n3,1\nthree,2\n", options); }, "line 3, column 1 (y)");
}

TEST(ReadersCsv, finds_the_target_column_by_number_from_either_end) {
  CsvOptions options;
  options.target_column = "-1";
  EXPECT_EQ(parse("1,2,a\n3,4,b\n", options).targets, (Values{0, 1}));
  options.target_column = "0";
  EXPECT_EQ(parse("1,2\n3,4\n", options).targets, (Values{1, 3}));
  for (const char* wrong : {"2", "-3", "kind", "1x"}) {
    SCOPED_TRACE(wrong);
    options.target_column = wrong;
    expect_data_error([&] { parse("x,y\n3,4\n", options); },
                      "a.csv has no column '" + std::string(wrong) +
                          "' (target_column); its columns are 'x', 'y'; give the name of one, or "
                          "its number, from -2 to 1");
  }
  std::string header = "x0";
  for (int i = 1; i < 23; ++i) header += ",x" + std::to_string(i);
  expect_data_error([&] { parse(header + "\n", options); },
                    "'x19' and 3 more; give the name of one, or its number, from -23 to 22");
  options.target_column = "x";
  expect_data_error([&] { parse("x,x\n3,4\n", options); },
                    "a.csv: target_column is 'x', but 2 columns have that name; give the number of "
                    "the one you mean, from 0");
}

TEST(ReadersCsv, reads_a_double_written_in_full_exactly) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> mantissa(-1, 1);
  std::string text;
  Values expected;
  for (int i = 0; i < 2000; ++i) {
    expected.push_back(std::ldexp(mantissa(random), static_cast<int>(random() % 2000) - 1000));
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.17g\n", expected.back());
    text += digits;
  }
  EXPECT_EQ(parse(text).values, expected);
  EXPECT_EQ(parse("1e-999\n").values, Values{0});
  for (const char* not_finite : {"nan", "-inf", "1e999"}) {
    const std::string cell = not_finite;
    expect_data_error([&] { parse("1\n" + cell + "\n"); },
                      "a.csv, line 2, column 1 (column_0): the cell is '" + cell +
                          "'; every cell must be a finite number that a float64 can hold. Write "
                          "such a number instead.");
  }
}

TEST(ReadersCsv, refuses_files_without_rows) {
  expect_data_error([] { parse(""); }, "a.csv is empty; add at least one row");
  expect_data_error([] { parse("\n\n"); }, "a.csv is empty; add at least one row");
  expect_data_error([] { parse("a,b\n"); },
                    "a.csv has a header, but no rows; add at least one row");
}

TEST(ReadersCsv, names_line_and_column_of_what_it_cannot_read) {
  expect_data_error([] { parse("a,b\n1,2\n3,?\n"); },
                    "a.csv, line 3, column 2 (b): the cell is '?'; every cell must be a finite");
  expect_data_error([] { parse("a,b\n1,\n"); },
                    "a.csv, line 2, column 2 (b): the cell is empty; every cell must be a number. "
                    "Fill in the missing value.");
  expect_data_error([] { parse("a,b\n1,2 3\n"); }, "'2 3'");
  expect_data_error([] { parse("a,b\n1,0x10\n"); }, "'0x10'");
  expect_data_error([] { parse("a,b\n1,1e999\n"); }, "'1e999'");
  const test::TemporaryFolder folder;
  expect_data_error(
      [&] { read_csv(folder / "missing.csv"); },
      "can't read '" + (folder / "missing.csv").string() + "': No such file or directory");
}

TEST(ReadersCsv, says_what_is_wrong_with_a_line_and_how_to_mend_it) {
  expect_data_error([] { parse("a,b\n1,2\n3\n"); },
                    "a.csv, line 3: the row has 1 cell, but the first line has 2; every row must "
                    "have as many. Fill in the missing cells.");
  expect_data_error([] { parse("a,b\n1,2,3\n"); },
                    "a.csv, line 2: the row has 3 cells, but the first line has 2; every row must "
                    "have as many. Put cells that contain the delimiter in quotes.");
  expect_data_error([] { parse("a,b\n\n1,2\n\n3\n"); }, "a.csv, line 5: the row has 1 cell,");
  expect_data_error([] { parse("a,b\n1,\"2\n"); },
                    "a.csv, line 2, column 2 (b): the cell's opening quote is never closed; write "
                    "a quoted cell as \"...\", with every quote inside it doubled");
  expect_data_error([] { parse("a,b\n\"1\"x,2\n"); },
                    "a.csv, line 2, column 1 (a): text follows the cell's closing quote; write a "
                    "quoted cell as \"...\"");
  expect_data_error([] { parse("a,\"b\"x\n1,2\n"); }, "a.csv, line 1, column 2: text follows");
}

// trials 2: the delimiter is a guess as well.
TEST(ReadersCsv, says_what_it_took_for_the_delimiter_if_that_may_be_wrong) {
  expect_data_error(
      [] { parse("a;b,c\n1,2\n"); },
      "the cell is '1,2'; every cell must be a finite number that a float64 can hold. "
      "Write such a number instead. Cells are taken to be separated by semicolons, as "
      "the first line shows.");
  expect_data_error([] { parse("kind;x,y\nant,1,2\n", {.target_column = "kind"}); },
                    "the row has 1 cell, but the first line has 2; every row must have as many. "
                    "Fill in the missing cells. Cells are taken to be separated by semicolons, as "
                    "the first line shows.");
  expect_data_error([] { parse("a|b\n1|2\n"); }, "separated by commas, as the first line shows.");
  expect_data_error([] { parse("a,b\n1;2,3\n", {.delimiter = ','}); }, "separated by commas.");
}

TEST(ReadersCsv, says_that_targets_are_all_texts_or_all_numbers) {
  expect_data_error(
      [] { parse("a,b\n1,2\n1,ant\n", {.target_column = "b"}); },
      "the cell is 'ant'; every cell must be a finite number that a float64 can hold. "
      "Write such a number instead. Only ArrayDataModule takes texts, the names of classes, for "
      "targets, and only if all are texts.");
}

TEST(ReadersCsv, shows_a_binary_cell_without_its_bytes) {
  const std::string cell(1000, '\x1b');
  const std::string shown(60, '?');
  expect_data_error([&] { parse("1\n" + cell + "\n"); }, shown);
}

TEST(ReadersCsv, cuts_a_long_cell_between_two_characters) {
  const std::string x(58, 'x');
  expect_data_error([&] { parse("1\n" + x + "\u20ac\n"); }, "'" + x + "...'");
}

TEST(ReadersCsv, reads_a_file) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.csv", "a,b\n1,2\n");
  EXPECT_EQ(read_csv(folder / "a.csv").values, (Values{1, 2}));
}

/// The rows that the streaming reader finds in a text, features before the target; or its error.
struct Outcome {
  Values values;
  std::string error;
};

Outcome stream(const std::filesystem::path& path, const std::string& target_column) {
  Outcome outcome;
  try {
    const auto shard = open_csv(
        MappedFile(path), {.target_column = target_column, .target_type = TargetType::values});
    BlockBuffer buffer;
    std::vector<RowsInMemory> views(shard->columns().size());
    shard->load(0, shard->rows(), false, buffer, views);
    for (int64_t row = 0; row < shard->rows(); ++row) {
      for (size_t i = 0; i < views.size(); ++i) {
        const auto* values = reinterpret_cast<const float*>(
            views[i].data + static_cast<size_t>(row) * views[i].stride);
        outcome.values.insert(outcome.values.end(), values, values + shard->columns()[i].values());
      }
    }
  } catch (const DataError& error) {
    outcome.error = error.what();
  }
  return outcome;
}

Outcome read_whole(const std::filesystem::path& path, const std::string& target_column) {
  Outcome outcome;
  try {
    const CsvTable table = read_csv(path, {.target_column = target_column});
    const size_t width = table.columns.size();
    for (size_t row = 0; row < static_cast<size_t>(table.rows); ++row) {
      for (size_t i = 0; i < width; ++i) {
        outcome.values.push_back(static_cast<float>(table.values[row * width + i]));
      }
      if (!table.targets.empty()) {
        outcome.values.push_back(static_cast<float>(table.targets[row]));
      }
    }
  } catch (const DataError& error) {
    outcome.error = error.what();
    const size_t type = outcome.error.find("float64");  // the one difference
    if (type != outcome.error.npos) outcome.error.replace(type, 7, "float32");
  }
  return outcome;
}

TEST(ReadersCsv, whole_and_streaming_readers_find_the_same_rows_and_errors_in_the_same_texts) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.csv";
  size_t read = 0;
  const std::vector<const char*> texts = {
      "a,b\n1,2\n3,4\n", "1,2\r\n3,4", "a,b\r1,2\r\r3,4\r",
      "\xef\xbb\xbf\n \n\"a\",b\n\n1,2\n  \n3,4\n\r\n", "a;b\n1;2\n", "a\tb\n1\t 2 \n",
      "\"a;\tb\",c\n1,2\n", "\"a\nb\", \"c \"\"d\"\"\"\r\n \"1\" ,\"2\"\r\n",
      "\"1\",\"2\"\n\"3\",\"4\"\n", "a,b\n+1.5,-.5e3\n1e-400,5.\n",
      // The first row says that targets are numbers: texts for classes are read by the one reader.
      "a,b\n1,2\n1,1\"2\n", "a,b\n1,2\n1,\"2\n", "a,b\n1,2\n\"1\"x,2\n", "a,b\n1,2\n1,\"2\n3\"\n",
      "\"a\nb\",c\n1,2\n3,x\n", "a,b\n1,2\n1,\n", "a,b\n1,2\n1,nan\n", "a,b\n1,2\ninf,2\n",
      "a,b\n1,2\n1,0x10\n", "a,b\n1,2\n1,2 3\n", "a,b\n1,2\n1,1e39999\n", "a,b\n1,2\n3\n",
      "a,b\n1,2,3\n", "a,b\n1,2\n# no comment,3\n", "a,b\n", "", "\n\n", "b,b\n1,2\n"};
  for (const char* const text : texts) {
    test::write_text(path, text);
    for (const char* column : {"none", "-1", "0", "b", "column_1", "5"}) {
      SCOPED_TRACE(std::string(text) + "target column " + column);
      const Outcome streamed = stream(path, column);
      const Outcome whole = read_whole(path, column);
      EXPECT_EQ(streamed.error, whole.error);
      EXPECT_EQ(streamed.values, whole.values);
      read += streamed.values.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(read, 40u);
}

TEST(ReadersCsv, skips_lines_that_are_empty_or_blank_and_counts_them) {
  EXPECT_EQ(parse("\n \na,b\n\n1,2\n \t \n3,4\n").values, (Values{1, 2, 3, 4}));
  expect_data_error([] { parse("\n\na,b\n\n1,2\n\r\nx,4\n"); }, "line 7, column 1 (a)");
  // In a line of tabs between tabs, every cell is missing.
  expect_data_error([] { parse("a\tb\n\t\n"); }, "line 2, column 1 (a)");
}

TEST(ReadersCsv, a_blank_line_between_the_rows_of_one_column_is_a_missing_value) {
  const test::TemporaryFolder folder;
  const auto path = folder / "y.csv";
  for (const char* text : {"y\n1\n\n2\n", "y\r\n1\r\n \t\r\n2", "5\n1\n\n2\n\n"}) {
    SCOPED_TRACE(text);
    expect_data_error([&] { parse(text); }, "line 3, column 1");
    test::write_text(path, text);
    const Outcome streamed = stream(path, "none");
    EXPECT_NE(streamed.error.find("line 3, column 1"), std::string::npos) << streamed.error;
    EXPECT_EQ(streamed.error, read_whole(path, "none").error);
  }
  CsvOptions options;
  options.target_column = "-1";
  for (const char* text : {"y\n1\n\n2\n", "y\na\n\nb\n"}) {
    expect_data_error([&] { parse(text, options); }, "line 3, column 1");
  }
  expect_data_error([&] { parse("y\n\na\n", options); }, "line 2, column 1");
  for (const char* text : {"y\n1\n2\n\n", "\n \ny\n1\n2\n \t\n\r\n", "1\n2"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse(text).values, (Values{1, 2}));
    test::write_text(path, text);
    EXPECT_EQ(stream(path, "none").values, (Values{1, 2}));
  }
}

TEST(ReadersCsv, a_class_without_a_name_is_a_missing_value) {
  CsvOptions options;
  options.target_column = "kind";
  for (const char* text : {"x,kind\n1,a\n2,\n", "x,kind\n1,a\n2,\"\"\n", "kind,x\na,1\n ,2\n"}) {
    expect_data_error([&] { parse(text, options); }, "line 3, column");
  }
}

TEST(ReadersCsv, passes_over_blanks_around_quotes) {
  EXPECT_EQ(parse("\"a\", \"b\" \n \"1\" , \"2\"\n").columns, (Names{"a", "b"}));
  EXPECT_EQ(parse("\"a\", \"b\" \n \"1\" , \"2\"\n").values, (Values{1, 2}));
}

TEST(ReadersCsv, a_file_larger_than_the_memory_is_refused_by_name) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "sparse.csv";
  test::write_text(path, "a,b\n");
  std::error_code refused;
  std::filesystem::resize_file(path, uintmax_t{8} << 40, refused);
  if (refused) GTEST_SKIP() << "the file system has no such large files: " << refused.message();
  expect_data_error([&] { read_csv(path, {}); }, "sparse.csv': it takes 8796.1 GB of memory");
}

TEST(ReadersCsv, survives_every_changed_byte) {
  const Bytes file = test::to_bytes("a,\"b\"\"c\",kind\r\n1,2.5e1,\"x\"\r\n-3,4,y\r\n");
  CsvOptions options;
  options.target_column = "2";
  const size_t refused =
      test::refused_mutations(file, [&](const Bytes& changed, const std::string&) {
        const CsvTable table = parse(test::to_text(changed), options);
        const auto rows = static_cast<size_t>(table.rows);
        return table.values.size() == rows * table.columns.size() && table.targets.size() == rows;
      });
  EXPECT_GT(refused, 100u);
}

}  // namespace levin::readers::csv_test
