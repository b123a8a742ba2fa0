#include <levin/datamodules/readers/csv_columns.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/csv.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

namespace levin::readers::csv_columns_test {

using test::expect_data_error;
using Names = std::vector<std::string>;
using Values = std::vector<double>;

CsvTable parse(std::string_view text, const CsvOptions& options = {}) {
  return parse_csv(text, "a.csv", options);
}

/// The options for a file that belongs to one with these columns.
CsvOptions like(const Names& names, std::optional<size_t> target = {}) {
  return {.target_column = target ? "-1" : "none",
          .like = CsvLayout{.file = "first.csv", .names = names, .target = target}};
}

TEST(CsvHeader, is_sure_if_names_stand_above_numbers_or_the_target_is_named) {
  for (const char* text : {"a,b\n1,2\n", "a,b\n1,pear\n", "2019,2020,label\n1,2,0\n"}) {
    SCOPED_TRACE(text);
    CsvOptions options;
    if (std::string_view(text).starts_with("2019")) options.target_column = "label";
    if (std::string_view(text).ends_with("pear\n")) options.target_column = "b";
    const CsvTable table = parse(text, options);
    EXPECT_EQ(table.rows, 1);
    EXPECT_EQ(table.note, "");
    EXPECT_FALSE(table.layout.names.empty());
  }
}

TEST(CsvHeader, is_surely_absent_if_the_numbers_cannot_be_names) {
  for (const char* text : {"-86,18\n1,2\n", "3,3\n1,2\n", "5.1,3.5,1.4,0.2,0\n1,2,3,4,5\n",
                           "0.5\n0.7\n", "1,2\n", "0\n"}) {
    SCOPED_TRACE(text);
    const CsvTable table = parse(text);
    EXPECT_EQ(table.rows, std::count(text, text + std::string_view(text).size(), '\n'));
    EXPECT_EQ(table.note, "");
    EXPECT_TRUE(table.layout.names.empty());
  }
}

// trials 2: pandas writes 0,1 for columns without names.
TEST(CsvHeader, numbers_that_count_from_zero_are_refused_until_header_says_what_they_are) {
  const std::string text = "0,1\n-86,18\n-49,24\n";
  expect_data_error([&] { parse(text); },
                    "a.csv, line 1: the numbers count from 0 ('0', '1'), as pandas names columns "
                    "that have no names, so the line may be a header or a row. Set header = true "
                    "if it names the columns, or header = false if it is a row.");
  EXPECT_EQ(parse(text, {.header = CsvHeader::present}).rows, 2);
  EXPECT_EQ(parse(text, {.header = CsvHeader::present}).columns, (Names{"0", "1"}));
  EXPECT_EQ(parse(text, {.header = CsvHeader::absent}).rows, 3);
}

TEST(CsvHeader, a_text_beside_numbers_and_above_one_is_refused) {
  expect_data_error([] { parse("id,2019\n1,2\n"); },
                    "a.csv, line 1: 'id' is no number, but stands beside numbers and above '1', so "
                    "the line may be a header or a row.");
  expect_data_error([] { parse(",0,1\n0,-86,18\n"); }, "'' is no number");
  expect_data_error([] { parse("1,2,label\n3,4,0\n", {.target_column = "-1"}); },
                    "'label' is no number");
}

TEST(CsvHeader, what_could_be_names_is_read_as_a_row_and_noted) {
  CsvTable table = parse("2019,2020\n1,2\n");
  EXPECT_EQ(table.rows, 2);
  EXPECT_EQ(table.note,
            "a.csv, line 1: '2019', '2020' are taken for a row. Set header = true if the line "
            "names the columns, or header = false if it doesn't.");
  EXPECT_NE(parse("400,400.5,401,401.5,402,402.5,403,403.5\n1,2,3,4,5,6,7,8\n").note, "");
  EXPECT_NE(parse("0\n1\n").note, "");
  table = parse("1,pear\n2,apple\n", {.target_column = "-1"});
  EXPECT_EQ(table.rows, 2);
  EXPECT_NE(table.note, "");
  table = parse("ant\nant\nbee\n", {.target_column = "-1"});
  EXPECT_EQ(table.rows, 2);
  EXPECT_EQ(table.note,
            "a.csv, line 1: 'ant' is taken for the name of the column. Set header = false if it is "
            "a class, or header = true if it isn't.");
  EXPECT_EQ(parse("2019,2020\n1,2\n", {.header = CsvHeader::absent}).note, "");
}

TEST(CsvHeader, a_column_that_looks_like_the_index_of_pandas_is_noted) {
  const CsvTable table = parse(",a,label\n0,-1,1\n1,-2,0\n", {.target_column = "label"});
  EXPECT_EQ(table.rows, 2);
  EXPECT_EQ(parse(",a\n7,-1\n").note, "");
  EXPECT_EQ(table.note,
            "a.csv, line 1: the first column has no name and starts with 0, like the index that "
            "pandas writes, but it is taken for a feature. If it is an index, save the file with "
            "index=False.");
}

TEST(CsvHeader, a_known_number_of_rows_settles_what_the_first_line_is) {
  const auto rows = [](const char* text, int64_t known) {
    const CsvTable table = parse(text, {.target_column = "-1", .rows = known});
    EXPECT_EQ(table.note, "") << text;
    return table.rows;
  };
  for (const int64_t known : {2, 3}) {
    EXPECT_EQ(rows("0,1\n-86,18\n-49,24\n", known), known);
    EXPECT_EQ(rows("ant\nant\nbee\n\n", known), known);
    EXPECT_EQ(rows("0\n0\n1\n", known), known);
  }
  EXPECT_NE(parse("0\n0\n1\n", {.rows = 7}).note, "");
}

TEST(CsvHeader, files_follow_the_first_of_several) {
  const CsvOptions without = like({});
  EXPECT_EQ(parse("0,1\n1,2\n", without).rows, 2);
  EXPECT_EQ(parse("2019,2020\n1,2\n", without).note, "");
  const CsvOptions with = like({"2019", "2020"});
  EXPECT_EQ(parse("2020,2019\n1,2\n", with).values, (Values{2, 1}));
}

TEST(CsvHeader, the_option_has_three_words) {
  EXPECT_EQ(parse_csv_header("auto"), CsvHeader::detect);
  EXPECT_EQ(parse_csv_header("true"), CsvHeader::present);
  EXPECT_EQ(parse_csv_header("false"), CsvHeader::absent);
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([] { parse_csv_header("yes"); }),
                         {"header", "yes", "auto", "true", "false"}));
}

// trials 1
TEST(CsvColumns, are_taken_by_name_in_the_order_of_the_first_file) {
  const CsvTable table = parse("b,label,a\n18,0,-86\n24,1,-49\n", like({"a", "b", "label"}, 2));
  EXPECT_EQ(table.columns, (Names{"a", "b"}));
  EXPECT_EQ(table.values, (Values{-86, 18, -49, 24}));
  EXPECT_EQ(table.targets, (Values{0, 1}));
  EXPECT_EQ(table.target_name, "label");
  EXPECT_EQ(table.layout.names, (Names{"b", "label", "a"}));
}

TEST(CsvColumns, that_are_missing_are_refused_by_name) {
  expect_data_error(
      [] {
        parse("b,x,label\n1,2,0\n", like({"a", "b", "label"}, 2));
      },
      "a.csv has no column 'a', but first.csv has; its columns are 'b', 'x', "
      "'label'. Columns are matched by their names: add the missing ones, or give "
      "them the same names in both files.");
  expect_data_error(
      [] {
        parse("b,a\n1,2\n", like({"a", "b", "label"}, 2));
      },
      "a.csv has no column 'label'");
  auto options = like({"a", "b", "label"}, 2);
  options.target_optional = true;
  const CsvTable table = parse("b,a\n1,2\n", options);
  EXPECT_EQ(table.values, (Values{2, 1}));
  EXPECT_FALSE(table.layout.target);
}

TEST(CsvColumns, that_are_extra_are_refused_unless_they_are_ignored) {
  auto options = like({"a", "label"}, 1);
  const std::string text = "id,a,label\nx7,1,0\nx8,2,1\n";
  expect_data_error([&] { parse(text, options); },
                    "a.csv has the column 'id', which first.csv doesn't have; its columns are 'a', "
                    "'label'. Remove it, or set ignore_extra_columns = true.");
  options.ignore_extra_columns = true;
  EXPECT_EQ(parse(text, options).values, (Values{1, 2}));
  EXPECT_EQ(parse(text, options).targets, (Values{0, 1}));
}

TEST(CsvColumns, of_targets_can_be_left_out_unread_but_stay_part_of_the_layout) {
  CsvOptions options = {.target_column = "kind", .skip_target = true};
  const CsvTable table = parse("kind,a\n,1\ndog,2\n7,3\n", options);
  EXPECT_EQ(table.columns, (Names{"a"}));
  EXPECT_EQ(table.values, (Values{1, 2, 3}));
  EXPECT_TRUE(table.targets.empty());
  EXPECT_TRUE(table.classes.empty());
  EXPECT_EQ(table.layout.target, size_t{0});
  options.target_column = "-1";
  options.like = table.layout;
  EXPECT_EQ(parse("a,kind\n5,\n", options).values, (Values{5}));
}

TEST(CsvColumns, with_one_name_twice_match_only_in_the_same_order) {
  EXPECT_EQ(parse("a,a,b\n1,2,3\n", like({"a", "a", "b"})).values, (Values{1, 2, 3}));
  expect_data_error(
      [] {
        parse("b,a,a\n1,2,3\n", like({"a", "a", "b"}));
      },
      "first.csv: 2 columns have the name 'a', so they can't be matched with the "
      "columns of a.csv, which are in another order; give each column a name of its "
      "own");
}

TEST(CsvColumns, without_names_are_taken_by_their_places) {
  EXPECT_EQ(parse("1,2,3\n-1,2,4\n", like({"a", "b", "label"}, 2)).targets, (Values{3, 4}));
  EXPECT_EQ(parse("b,a\n1,2\n", like({})).values, (Values{1, 2}));
  EXPECT_EQ(taken_in_order({"b.csv", "c.csv", "d.csv", "e.csv"}, {.file = "a.csv", .names = {"a"}}),
            "b.csv and 3 more files have no header, but a.csv has one. The columns are taken to be "
            "in the same order; set header if one of the files was misread.");
}

TEST(CsvColumns, of_targets_alone_need_not_have_the_same_name) {
  CsvOptions options = like({"y_train"}, 0);
  options.target_column = "-1";
  EXPECT_EQ(parse("y_test\n1\n0\n", options).targets, (Values{1, 0}));
}

}  // namespace levin::readers::csv_columns_test
