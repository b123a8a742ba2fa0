#include <levin/datamodules/tables/fit_table.h>

#include "datamodules/tables/support.h"

#include <gtest/gtest.h>

#include <cmath>

#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/tables/fit_target.h>
#include <levin/datamodules/tables/hashed_place.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::fit_table_test {

using tables::FittedColumn;
using tables::MissingRule;
using tables::UnknownRule;
using test::features_from;
using test::fit;
using test::message_of;
using test::says;
using test::table_settings;
using Names = std::vector<std::string>;
using Numbers = std::vector<double>;
using Rule = MissingRule::Kind;

constexpr const char* kPeople = "age,plan,y\n1,b,no\n3,a,yes\n";

TEST(FitTable, numbers_and_categories_are_told_apart_by_the_training_rows) {
  const auto fitted = fit(kPeople, table_settings("y"));
  EXPECT_EQ(fitted.feature_names(), (Names{"age", "plan=a", "plan=b"}));
  EXPECT_EQ(fitted.class_names, (Names{"no", "yes"}));
  EXPECT_EQ(features_from(fitted, kPeople), (Numbers{1, 0, 1, 3, 1, 0}));
}

TEST(FitTable, only_training_rows_are_looked_at) {
  auto settings = table_settings("y");
  settings.standardize = true;
  settings.missing.kind = Rule::mean;
  settings.unknown = UnknownRule::ignore;
  const std::string text = "a,b,y\n1,u,0\n3,v,1\n,w,5\n900,w,6\n";
  const auto fitted = fit(text, settings, 2);
  EXPECT_EQ(fitted, fit("a,b,y\n1,u,0\n3,v,1\n", settings));
  EXPECT_EQ(fitted.class_names, (Names{"0", "1"}));
  EXPECT_EQ(features_from(fitted, text), (Numbers{-1, 1, 0, 1, 0, 1, 0, 0, 0, 898, 0, 0}));
}

TEST(FitTable, settings_say_what_a_column_is) {
  auto settings = table_settings();
  settings.categories = {"zip"};
  settings.numbers = {"n*"};
  const auto fitted = fit("zip,n1\n10115,1\n01067,2\n", settings);
  EXPECT_EQ(fitted.feature_names(), (Names{"zip=01067", "zip=10115", "n1"}));
  const auto message = message_of<DataError>([&] { fit("zip,n1\n1,1\n1,2\n1,x\n", settings); });
  EXPECT_TRUE(says(message, {"train.csv, line 4, column 2 (n1)", "'x'", "missing_values"}));
}

TEST(FitTable, constant_numbers_are_divided_by_one) {
  auto settings = table_settings();
  settings.standardize = true;
  const auto fitted = fit("a,b\n0.1,5\n0.1,7\n0.1,9\n", settings);
  EXPECT_EQ(fitted.columns[0].scale, 1.0);
  EXPECT_NEAR(fitted.columns[1].scale, std::sqrt(8.0 / 3.0), 1e-15);
}

TEST(FitTable, a_missing_number_is_refused_with_file_line_column_and_remedies) {
  const auto message = message_of<DataError>([] { fit("a,b\n1,2\n3,NA\n", table_settings()); });
  EXPECT_TRUE(says(message, {"train.csv, line 3, column 2 (b): the cell is missing ('NA')",
                             "missing_in = [\"b=RULE\"]", "mean, median, most_frequent or a number",
                             "exclude = [\"b\"]"}));
  // Also if only later rows have gaps.
  const auto fitted = fit("a,b\n1,2\n3,4\n", table_settings());
  EXPECT_TRUE(says(message_of<DataError>([&] { features_from(fitted, "b,a\n2,1\n\"\",3\n"); }),
                   {"new.csv, line 3, column 1 (b): the cell is missing ('')"}));
}

TEST(FitTable, a_missing_text_is_refused_filled_or_a_value) {
  const std::string text = "c\nu\nv\nv\n?\n";
  EXPECT_TRUE(says(message_of<DataError>([&] { fit(text, table_settings()); }),
                   {"line 5, column 1 (c)", "most_frequent or category"}));
  auto settings = table_settings();
  settings.missing.kind = Rule::most_frequent;
  EXPECT_EQ(features_from(fit(text, settings), "c\n?\nu\n"), (Numbers{0, 1, 1, 0}));
  settings.missing.kind = Rule::category;
  const auto fitted = fit(text, settings);
  EXPECT_EQ(fitted.feature_names(), (Names{"c=u", "c=v", "c missing"}));
  EXPECT_EQ(features_from(fitted, "c\n?\nu\n"), (Numbers{0, 0, 1, 1, 0, 0}));
}

TEST(FitTable, a_missing_text_is_refused_whatever_becomes_of_unknown_ones) {
  for (const auto rule : {UnknownRule::refuse, UnknownRule::ignore, UnknownRule::column}) {
    auto settings = table_settings();
    settings.unknown = rule;
    const auto fitted = tables::fitted_table_from(tables::to_value(fit("c\nu\nv\n", settings)));
    EXPECT_TRUE(says(message_of<DataError>([&] { features_from(fitted, "c\nu\n?\n"); }),
                     {"new.csv, line 3, column 1 (c): the cell is missing ('?')"}));
  }
}

TEST(FitTable, rows_are_stratified_by_whole_numbers_in_whatever_way_they_are_written) {
  const auto table = tables::TextTable::parse("y,x\n1,0\n2,0\n1.0,0\n2,0\n1e0,0\n", "y.csv");
  EXPECT_EQ(tables::stratification_labels(table, table_settings("y")),
            (std::vector<int64_t>{0, 1, 0, 1, 0}));
}

TEST(FitTable, missing_rules_of_single_columns_come_before_that_of_all) {
  auto settings = table_settings();
  settings.missing.kind = Rule::mean;
  settings.missing_in = {"b*=median", "b2=7"};
  const auto fitted = fit("a,b1,b2\n1,1,1\n2,2,2\n6,6,6\n", settings);
  EXPECT_EQ(features_from(fitted, "a,b1,b2\n,,\n"), (Numbers{3, 2, 7}));
}

TEST(FitTable, an_unknown_value_is_refused_ignored_or_has_a_column) {
  auto settings = table_settings();
  const std::string text = "c\nu\nv\n";
  const auto message =
      message_of<DataError>([&] { features_from(fit(text, settings), "c\nu\n\"w, x\"\n"); });
  EXPECT_TRUE(says(message, {"new.csv, line 3, column 1 (c): no training row has the value 'w, x'",
                             "'u', 'v'", "unknown = ignore", "exclude = [\"c\"]"}));
  settings.unknown = UnknownRule::ignore;
  EXPECT_EQ(features_from(fit(text, settings), "c\nw\nu\n"), (Numbers{0, 0, 1, 0}));
  settings.unknown = UnknownRule::column;
  const auto fitted = fit(text, settings);
  EXPECT_EQ(fitted.feature_names(), (Names{"c=u", "c=v", "c unknown"}));
  EXPECT_EQ(features_from(fitted, "c\nw\nu\n"), (Numbers{0, 0, 1, 1, 0, 0}));
}

TEST(FitTable, rare_values_are_unknown_ones) {
  auto settings = table_settings();
  settings.min_count = 2;
  const std::string text = "c\nu\nv\nv\n";
  EXPECT_TRUE(says(message_of<ConfigError>([&] { fit(text, settings); }),
                   {"min_count = 2", "unknown = refuse", "unknown = ignore"}));
  settings.unknown = UnknownRule::column;
  EXPECT_EQ(features_from(fit(text, settings), text), (Numbers{0, 1, 1, 0, 1, 0}));
  settings.min_count = 3;
  settings.unknown = UnknownRule::ignore;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { fit(text, settings); }),
                   {"min_count = 3 leaves no value of the column 'c' of train.csv"}));
}

TEST(FitTable, columns_are_found_by_name_in_any_order) {
  const auto fitted = fit(kPeople, table_settings("y"));
  EXPECT_EQ(features_from(fitted, "new,y,plan,age\n0,?,b,1\n0,?,a,3\n"),
            features_from(fitted, kPeople));
  const auto message = message_of<DataError>([&] { features_from(fitted, "agee,plan\n1,a\n"); });
  EXPECT_TRUE(says(message, {"new.csv has no column 'age' (a feature of the training data)",
                             "'agee', 'plan'", "Did you mean 'agee'?"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { features_from(fitted, "age,age,plan\n1,1,a\n"); }),
                   {"new.csv has two columns 'age'"}));
}

TEST(FitTable, a_name_or_pattern_without_a_column_is_refused) {
  const auto refusal = [](auto change) {
    auto settings = table_settings("y");
    change(settings);
    return message_of<DataError>([&] { fit(kPeople, settings); });
  };
  EXPECT_TRUE(says(refusal([](auto& s) { s.target = "z"; }), {"no column 'z' (target)"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.key = "id"; }), {"no column 'id' (key)"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.features = {"aeg"}; }), {"(features)", "'age'?"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.exclude = {"date_*"}; }), {"'date_*' (exclude)"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.numbers = {"x"}; }), {"(numbers)"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.missing_in = {"x=mean"}; }), {"(missing_in)"}));
  EXPECT_TRUE(
      says(refusal([](auto& s) { s.exclude = {"*"}; }), {"train.csv is left for features"}));
}

TEST(FitTable, settings_that_contradict_each_other_are_refused) {
  const auto refusal = [](auto change) {
    auto settings = table_settings("y");
    change(settings);
    return message_of<ConfigError>([&] { fit(kPeople, settings); });
  };
  EXPECT_TRUE(says(refusal([](auto& s) { s.numbers = s.categories = {"age"}; }),
                   {"numbers and categories both have the column 'age'"}));
  EXPECT_TRUE(says(refusal([](auto& s) {
                     s.features = {"age", "y"};
                   }),
                   {"'y', which is the target"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.missing_in = {"plan=mean"}; }),
                   {"'plan' of train.csv that doesn't suit texts", "most_frequent or category"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.missing_in = {"age=category"}; }), {"suit numbers"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.missing_in = {"age"}; }), {"age=median"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.missing_in = {"age=avg"}; }), {"must be refuse, mean"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.hash_columns = 0; }), {"hash_columns"}));
  EXPECT_TRUE(says(refusal([](auto& s) { s.min_count = 0; }), {"min_count"}));
}

TEST(FitTable, a_text_among_numbers_is_refused_instead_of_making_a_category) {
  const auto message = message_of<DataError>([] { fit("a\n1\n2\n\"1,5\"\n", table_settings()); });
  EXPECT_TRUE(says(
      message, {"train.csv, line 4, column 1 (a)", "'1,5'", "most cells", "categories = [\"a\"]"}));
  EXPECT_TRUE(says(message_of<DataError>([] { fit("a\n1\ninf\n", table_settings()); }), {"'inf'"}));
}

TEST(FitTable, a_column_without_a_cell_is_refused) {
  auto settings = table_settings();
  settings.missing.kind = Rule::mean;
  EXPECT_TRUE(
      says(message_of<DataError>([&] { fit("a,b\n1,\n2,?\n", settings); }),
           {"train.csv, column 2 (b)", "missing in all 2 training rows", "exclude = [\"b\"]"}));
}

TEST(FitTable, a_feature_that_is_too_large_is_refused) {
  const auto fitted = fit("a\n1\n2\n", table_settings());
  EXPECT_TRUE(says(message_of<DataError>([&] { features_from(fitted, "a\n1\n1e39\n", 3.4e38); }),
                   {"new.csv, line 3, column 1 (a)", "1e+39", "dtype = float64"}));
}

TEST(FitTable, targets_are_classes_or_values) {
  EXPECT_EQ(fit("a,y\n1,10\n2,9\n3,10\n", table_settings("y")).class_names, (Names{"9", "10"}));
  const auto values = fit("a,y\n1,0.5\n2,1\n", table_settings("y"));
  EXPECT_TRUE(values.has_values);
  const auto table = tables::TextTable::parse("y\n2.5\nx\n", "new.csv");
  EXPECT_TRUE(says(message_of<DataError>([&] { tables::targets_of(values, table); }),
                   {"new.csv, line 3, column 1 (y)", "'x'", "target_type = class"}));
  auto settings = table_settings("y");
  settings.target_type = readers::TargetType::classes;
  EXPECT_EQ(fit("a,y\n1,0.5\n2,1\n", settings).class_names, (Names{"0.5", "1"}));
}

TEST(FitTable, a_text_among_targets_that_are_numbers_is_refused_unless_they_are_names) {
  const std::string text = "a,y\n1,0\n2,1\n3,l\n";
  EXPECT_TRUE(says(message_of<DataError>([&] { fit(text, table_settings("y")); }),
                   {"train.csv, line 4, column 2 (y)", "'l'", "target_type = class"}));
  auto settings = table_settings("y");
  settings.target_type = readers::TargetType::classes;
  EXPECT_EQ(fit(text, settings).class_names, (Names{"0", "1", "l"}));
}

TEST(FitTable, targets_are_numbered_as_in_training) {
  const auto fitted = fit("a,y\n1,1\n2,0\n3,7\n", table_settings("y"));
  const auto targets = [&](const char* text) {
    return tables::targets_of(fitted, tables::TextTable::parse(text, "new.csv"));
  };
  EXPECT_EQ(targets("y\n7\n1.0\n0\n"), (Numbers{2, 1, 0}));
  EXPECT_TRUE(says(message_of<DataError>([&] { targets("y\n7\n8\n"); }),
                   {"new.csv, line 3, column 1 (y): no training row has the class '8'",
                    "'0', '1', '7'", "stratify = true"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { targets("y\nNA\n"); }),
                   {"new.csv, line 2, column 1 (y): the target is missing ('NA')"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { fit("a,y\n1,\n", table_settings("y")); }),
                   {"train.csv, line 2, column 2 (y): the target is missing"}));
}

TEST(FitTable, what_was_fitted_comes_back_from_a_checkpoint) {
  auto settings = table_settings("y");
  settings.key = "k";
  settings.missing.kind = Rule::median;
  settings.missing_in = {"c=category", "h=most_frequent"};
  settings.missing_indicator = settings.standardize = true;
  settings.hashed = {"h"};
  settings.unknown = UnknownRule::column;
  const auto fitted = fit("k,n,c,h,y\n1,0.1,a,u,0\n2,,?,v,1\n3,0.7,b,v,1\n", settings);
  const auto json = tables::to_value(fitted).to_json();
  EXPECT_EQ(tables::fitted_table_from(Value::from_json(json)), fitted);
  auto damaged = Value::from_json(json);
  damaged["columns"].as_array()[0]["scale"] = 0.0;
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { tables::fitted_table_from(damaged); }),
                   {"column n", "scale"}));
}

TEST(FitTable, a_category_that_looks_like_a_key_is_noted) {
  std::string text = "id,a\n";
  for (int i = 0; i < 30; ++i) text += "k" + std::to_string(i) + ",1\n";
  const auto table = tables::TextTable::parse(text, "train.csv");
  std::vector<int64_t> rows(30);
  std::iota(rows.begin(), rows.end(), int64_t{0});
  std::vector<std::string> notes;
  tables::fit_table(table, rows, table_settings(), notes);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(
      says(notes.front(), {"train.csv: the column 'id'", "30 different texts in 30", "key"}));
}

TEST(FitTable, whole_numbers_that_may_be_values_are_noted) {
  std::string text = "a,y\n";
  for (int i = 0; i < 101; ++i) text += "1," + std::to_string(i) + "\n";
  const auto table = tables::TextTable::parse(text, "train.csv");
  std::vector<int64_t> rows(101);
  std::iota(rows.begin(), rows.end(), int64_t{0});
  std::vector<std::string> notes;
  tables::fit_table(table, rows, table_settings("y"), notes);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(says(notes.front(), {"'y' are taken for 101 classes", "target_type = value"}));
}

TEST(FitTable, patterns_match_as_shells_do) {
  EXPECT_TRUE(tables::matches("date_*", "date_of_birth"));
  EXPECT_TRUE(tables::matches("*_date", "start_date"));
  EXPECT_TRUE(tables::matches("*a*b", "xaabbab"));
  EXPECT_TRUE(tables::matches("p?", "p1"));
  EXPECT_TRUE(tables::matches("*", ""));
  EXPECT_FALSE(tables::matches("p?", "p"));
  EXPECT_FALSE(tables::matches("date_*", "a_date_1"));
  EXPECT_FALSE(tables::matches("a*b", "abc"));
}

// The numbers are those of sklearn.utils.murmurhash3_32 and FeatureHasher.
TEST(FitTable, texts_are_hashed_as_by_scikit_learn) {
  const std::pair<const char*, uint32_t> kHashes[] = {{"", 0U},
                                                      {"a", 1009084850U},
                                                      {"ab", 2613040991U},
                                                      {"abc", 3017643002U},
                                                      {"abcd", 1139631978U},
                                                      {"Ísafjörður", 2765850016U},
                                                      {"West, harbour", 4147894066U}};
  for (const auto& [text, hash] : kHashes) EXPECT_EQ(readers::murmur_hash(text), hash) << text;
  EXPECT_EQ(readers::murmur_hash("abc", 7), 940791465U);
  const std::pair<const char*, int64_t> kPlaces[] = {{"a", 2},    {"ab", 1},    {"abc", 6},
                                                     {"abcd", 2}, {"North", 0}, {"Ísafjörður", 0}};
  for (const auto& [text, place] : kPlaces) EXPECT_EQ(tables::hashed_place(text, 8), place) << text;
}

TEST(TextTable, quotes_commas_and_line_breaks_are_part_of_cells) {
  const auto table =
      tables::TextTable::parse("a;b\n\"x;\ny\" ; \"say \"\"hi\"\"\"\n\n 1 ;2\n", "t.csv");
  ASSERT_EQ(table.rows(), 2);
  EXPECT_EQ(table.cell(0, 0), "x;\ny");
  EXPECT_EQ(table.cell(0, 1), "say \"hi\"");
  EXPECT_EQ(table.cell(1, 0), "1");
  EXPECT_EQ(table.place(1, 1), "t.csv, line 5, column 2 (b)");
  EXPECT_TRUE(says(message_of<DataError>([] { tables::TextTable::parse("a,b\n1\n", "t.csv"); }),
                   {"t.csv, line 2: the row has 1 cell"}));
  EXPECT_TRUE(says(message_of<DataError>([] { tables::TextTable::parse("a,b\n", "t.csv"); }),
                   {"t.csv has a header, but no rows"}));
}

}  // namespace levin::fit_table_test
