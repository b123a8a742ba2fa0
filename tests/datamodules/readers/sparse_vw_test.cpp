#include <levin/datamodules/readers/sparse_vw.h>

#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/murmur_hash.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_vw_test {

using test::expect_data_error;
using test::list_of;

SparseRows read_vw(const std::string& text, const SparseVwOptions& options = {}) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.vw", text);
  return read_sparse_vw({folder / "a.vw"}, options);
}

void expect_refused(const std::string& text, const std::string& reason) {
  expect_data_error([&] { read_vw(text); }, "a.vw, line 1: found " + reason);
}

/// The options of Vowpal Wabbit's command line.
SparseVwOptions options_of(const std::string& arguments) {
  SparseVwOptions options;
  std::istringstream words(arguments);
  for (std::string word, value; words >> word;) {
    if (word == "--constant") {
      options.constant = true;
      continue;
    }
    words >> value;
    if (word == "-b") options.bits = std::stoi(value);
    if (word == "-q") options.quadratic.push_back(value);
    if (word == "--hash") options.hash_all = value == "all";
    if (word == "--hash_seed") options.hash_seed = static_cast<uint32_t>(std::stoi(value));
  }
  return options;
}

TEST(ReadersSparseVw, features_get_the_columns_and_values_that_vowpal_wabbit_gives_them) {
  for (const auto& item : test::sparse_baselines()["vw"]) {
    SCOPED_TRACE(item["name"]);
    const auto options = options_of(item["arguments"].get<std::string>());
    test::expect_rows(read_vw(item["text"].get<std::string>(), options), item);
  }
}

TEST(ReadersSparseVw, murmur_hash_gives_the_published_values) {
  EXPECT_EQ(murmur_hash("", 0), 0U);
  EXPECT_EQ(murmur_hash("", 1), 0x514e28b7U);
  EXPECT_EQ(murmur_hash("Hello, world!", 1234), 0xfaf6cdb3U);
  EXPECT_EQ(murmur_hash("The quick brown fox jumps over the lazy dog", 0x9747b28c), 0x2fa826cdU);
  EXPECT_THROW(FeatureHash(0), ConfigError);
  EXPECT_THROW(FeatureHash(31), ConfigError);
}

TEST(ReadersSparseVw, labels_importances_and_tags_are_told_apart) {
  const auto rows = read_vw("1 | a\n-1 2.5 | a\n1 0 tag|x a\n1 'tag |x a\n\n-1 1 0 | a\n");
  EXPECT_EQ(list_of(rows.targets), (std::vector<float>{1, 0, 1, 1, 0}));
  EXPECT_EQ(list_of(rows.weights), (std::vector<float>{1, 2.5F, 0, 1, 1}));
  const auto unlabelled = read_vw("| a\ntag|b c\n", {.skip_targets = true});
  EXPECT_TRUE(unlabelled.targets.empty());
  EXPECT_EQ(unlabelled.rows(), 2);
}

TEST(ReadersSparseVw, what_vowpal_wabbit_would_read_in_part_is_refused) {
  expect_refused("1 a b\n", "'1 a b'; there is no '|'");
  expect_refused("x | a\n", "'x'; the label must be a finite number");
  expect_refused("| a\n", "'' before the bar, which is no label; write one");
  expect_refused("1|a b\n", "'1' touching the bar");
  expect_refused("1\t| a\n", "'1?' with a tab before the bar");
  expect_refused("1 -1 | a\n", "'-1'; the importance must be at least 0");
  expect_refused("1 1 0.5 | a\n", "'0.5' behind the label and its importance");
  expect_refused("1 1 0 4 | a\n", "'0' behind the label and its importance");
  expect_refused("1 | a:12a\n", "'12a'; the value of a feature must be a finite number");
  for (const char* value : {"nan", "inf", "1e39", "", "-"}) {
    expect_refused("1 | a:" + std::string(value) + "\n", "'" + std::string(value) + "'; the value");
  }
  expect_refused("1 |n:x a\n", "'x'; the factor of a namespace must be");
  expect_refused("1 |:2 a\n", "':2' behind a bar; a namespace must have a name");
  expect_refused("1 |n:1e20 a:1e20\n", "'a:1e20'; its value times the factor");
}

TEST(ReadersSparseVw, pairs_of_namespaces_are_checked) {
  EXPECT_THROW(read_vw("1 | a\n", {.quadratic = {"abc"}}), ConfigError);
  EXPECT_THROW(read_vw("1 | a\n", {.quadratic = {"a:"}}), ConfigError);
  EXPECT_THROW(read_vw("1 | a\n", {.quadratic = {"ab", "ba"}}), ConfigError);
  expect_data_error([] { read_vw("1 |a x:1e30 |b y:1e30\n", {.quadratic = {"ab"}}); },
                    "line 1: the product of two features is above what");
}

TEST(ReadersSparseVw, any_number_of_threads_reads_the_same_rows) {
  std::string text;
  for (int i = 0; i < 60000; ++i) {
    text += (i % 7 == 0 ? "1 2 |a f" : "-1 |a f") + std::to_string(i) +
            " |b g:" + std::to_string(i % 9) + "\n";
  }
  const SparseRows one = read_vw(text, {.quadratic = {"ab"}});
  EXPECT_EQ(one.rows(), 60000);
  EXPECT_EQ(one.weights.size(), 60000U);
  test::expect_same_rows(read_vw(text, {.quadratic = {"ab"}, .threads = 3}), one);
}

TEST(ReadersSparseVw, names_that_are_numbers_are_read_alike_wherever_they_stand) {
  const std::vector<std::string> names = {"0",       "7",        "07",        "1234567",
                                          "0012345", "12345678", "123456789", "4294967297",
                                          "12a",     "1234567a", "12345678a", "a1"};
  const std::string more = "\n1 |" + std::string(40, ' ') + "\n";
  for (const std::string space : {"", "b", "b:0.5"}) {
    const FeatureHash hash(30);
    const uint32_t start = hash.space(space.substr(0, 1));
    for (const auto& name : names) {
      const int32_t column = hash.column(hash.feature(name, start));
      for (const std::string end : {"", " ", "\t", ":1", "|c", " |c", "\r", ":2 "}) {
        for (const std::string& tail : {std::string(), more}) {
          const auto rows = read_vw("1 |" + space + " " + name + end + tail, {.bits = 30});
          ASSERT_EQ(rows.entries(), 1) << space << name << end;
          EXPECT_EQ(rows.indices[0], column) << space << name << end;
          const float value = (space.size() > 1 ? 0.5F : 1.0F) * (end == ":2 " ? 2.0F : 1.0F);
          EXPECT_EQ(rows.values.empty() ? 1.0F : rows.values[0], value) << space << name << end;
        }
      }
    }
  }
  EXPECT_EQ(read_vw("1 |a:0 1 2 3" + more).entries(), 0);
  EXPECT_NE(read_vw("1 | 7" + more, {.hash_all = true}).indices[0], 7);
}

TEST(ReadersSparseVw, rows_of_ones_may_come_before_and_after_those_with_values) {
  const auto rows = read_vw("1 | 1 2\n1 | 3:2 4\n1 | 9 8\n");
  EXPECT_EQ(list_of(rows.indices), (std::vector<int32_t>{1, 2, 3, 4, 8, 9}));
  EXPECT_EQ(list_of(rows.values), (std::vector<float>{1, 1, 2, 1, 1, 1}));
}

}  // namespace levin::readers::sparse_vw_test
