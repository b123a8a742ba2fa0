#include <levin/datamodules/splits.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>

#include "framework/message_of.h"

namespace levin::splits_test {

using test::message_of;

std::vector<int64_t> sorted(const Split& split) {
  std::vector<int64_t> all = split.train;
  all.insert(all.end(), split.val.begin(), split.val.end());
  all.insert(all.end(), split.test.begin(), split.test.end());
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<int64_t> count(const std::vector<int64_t>& rows, const std::vector<int64_t>& labels) {
  std::vector<int64_t> counts(3, 0);
  for (const int64_t row : rows) ++counts[static_cast<size_t>(labels[static_cast<size_t>(row)])];
  return counts;
}

std::vector<int64_t> in_order(int64_t rows) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  return order;
}

// row 13
TEST(SplitSizes, are_rounded_as_bolts_rounds_them) {
  std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/splits.json");
  std::stringstream text;
  text << file.rdbuf();
  const Value expected = Value::from_json(text.str());
  int checked = 0;
  for (const auto& one : expected.at("arrays").as_array()) {
    const double val = one.at("val_split").as_double();
    const double test = one.at("test_split").as_double();
    for (const auto& line : one.at("sizes").as_array()) {
      const auto& n = line.as_array();
      const auto sizes = split_sizes(n[0].as_int(), val, test);
      EXPECT_EQ(sizes.train, n[1].as_int()) << n[0].as_int() << " " << val << " " << test;
      EXPECT_EQ(sizes.val, n[2].as_int()) << n[0].as_int() << " " << val << " " << test;
      EXPECT_EQ(sizes.test, n[3].as_int()) << n[0].as_int() << " " << val << " " << test;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 600);
}

TEST(SplitSizes, shares_that_cannot_be_are_refused) {
  EXPECT_THROW(split_sizes(10, -0.1, 0.1), ConfigError);
  EXPECT_THROW(split_sizes(10, 0.1, 1.1), ConfigError);
  EXPECT_EQ(message_of<ConfigError>([] { split_sizes(10, 0.6, 0.6); }),
            "val_split = 0.6 and test_split = 0.6 add up to more than 1; lower them, so that rows "
            "are left to train on");
  EXPECT_THROW(split_sizes(10, NAN, 0.1), ConfigError);
}

// row 12
TEST(Split, is_the_same_for_a_seed_and_another_for_another) {
  EXPECT_EQ(shuffled_rows(1000, 7), shuffled_rows(1000, 7));
  EXPECT_NE(shuffled_rows(1000, 7), shuffled_rows(1000, 8));
  // Written down, so that no change of library or machine goes unnoticed.
  const std::vector<int64_t> first = shuffled_rows(10, 42);
  auto ordered = first;
  std::sort(ordered.begin(), ordered.end());
  EXPECT_EQ(ordered, in_order(10));
  EXPECT_EQ(first, (std::vector<int64_t>{7, 9, 0, 6, 2, 1, 3, 8, 4, 5}));
}

TEST(Split, takes_validation_then_test_from_the_front) {
  const auto split = split_in_order(in_order(10), {.train = 7, .val = 2, .test = 1});
  EXPECT_EQ(split.val, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(split.test, (std::vector<int64_t>{2}));
  EXPECT_EQ(split.train, (std::vector<int64_t>{3, 4, 5, 6, 7, 8, 9}));
}

TEST(StratifiedSplit, gives_every_class_its_share_of_each_set) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 150; ++i) labels.push_back(i / 50);
  const auto split =
      split_by_class(shuffled_rows(150, 3), {.train = 120, .val = 15, .test = 15}, labels);
  EXPECT_EQ(count(split.train, labels), (std::vector<int64_t>{40, 40, 40}));
  EXPECT_EQ(count(split.val, labels), (std::vector<int64_t>{5, 5, 5}));
  EXPECT_EQ(count(split.test, labels), (std::vector<int64_t>{5, 5, 5}));
  EXPECT_EQ(sorted(split), in_order(150));
}

TEST(StratifiedSplit, uneven_classes_are_within_one_row_of_their_share) {
  for (const int64_t rows : {22, 57, 100, 333}) {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i % 11 < 7 ? 0 : i % 11 < 9 ? 1 : 2);
    const auto sizes = split_sizes(rows, 0.2, 0.1);
    const auto split = split_by_class(shuffled_rows(rows, 5), sizes, labels);
    EXPECT_EQ(sorted(split), in_order(rows));
    EXPECT_EQ(static_cast<int64_t>(split.val.size()), sizes.val);
    EXPECT_EQ(static_cast<int64_t>(split.test.size()), sizes.test);
    const auto all = count(in_order(rows), labels);
    for (size_t c = 0; c < 3; ++c) {
      const double share = static_cast<double>(all[c]) / static_cast<double>(rows);
      EXPECT_NEAR(static_cast<double>(count(split.val, labels)[c]),
                  share * static_cast<double>(sizes.val), 1.0);
      EXPECT_NEAR(static_cast<double>(count(split.test, labels)[c]),
                  share * static_cast<double>(sizes.test), 1.0);
    }
  }
}

TEST(StratifiedSplit, classes_may_be_any_integers) {
  std::vector<int64_t> labels;
  for (int i = 0; i < 10; ++i) labels.push_back(i % 2 == 0 ? -3 : 1'000'000'000'000);
  const auto order = shuffled_rows(10, 1);
  const auto split = split_by_class(order, {.train = 6, .val = 2, .test = 2}, labels);
  for (const auto& rows : {split.val, split.test}) {
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_NE(labels[static_cast<size_t>(rows[0])], labels[static_cast<size_t>(rows[1])]);
  }
}

TEST(StratifiedSplit, a_class_of_fewer_rows_than_sets_is_refused) {
  const std::vector<int64_t> labels = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
  EXPECT_EQ(message_of<DataError>(
                [&] { split_by_class(in_order(10), {.train = 6, .val = 2, .test = 2}, labels); }),
            "class 1 has 2 rows, but stratify = true needs one for each of the 3 sets; set "
            "stratify = false, or leave out the class");
  EXPECT_NO_THROW(split_by_class(in_order(10), {.train = 6, .val = 4, .test = 0}, labels));
}

}  // namespace levin::splits_test
