#include <levin/datamodules/readers/sparse_libsvm.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_libsvm_test {

using test::expect_data_error;
using test::list_of;

/// Reads texts as files a.svm, b.svm and so on.
SparseRows read_texts(const std::vector<std::string>& texts,
                      const SparseLibsvmOptions& options = {}) {
  const test::TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  for (size_t i = 0; i < texts.size(); ++i) {
    files.push_back(folder / (std::string(1, static_cast<char>('a' + i)) + ".svm"));
    test::write_text(files.back(), texts[i]);
  }
  return read_sparse_libsvm(files, options);
}

void expect_refused(const std::string& text, const std::string& reason,
                    const SparseLibsvmOptions& options = {}) {
  expect_data_error([&] { read_texts({text}, options); }, "a.svm" + reason);
}

/// 40,000 rows, about 3.8 MB, of which every 1,000th line is a comment.
std::string long_text(std::mt19937& random) {
  std::string text;
  for (int row = 0; row < 40000; ++row) {
    if (row % 1000 == 0) text += "# " + std::to_string(row) + "\n";
    text += row % 3 == 0 ? "1" : "-1";
    for (uint64_t column = 1 + random() % 99; column < 2000; column += 1 + random() % 200) {
      text += " " + std::to_string(column) + (column % 5 == 0 ? ":0.25" : ":1");
    }
    text += "\n";
  }
  return text;
}

TEST(ReadersSparseLibsvm, reads_what_scikit_learn_reads) {
  for (const auto& item : test::sparse_baselines()["libsvm"]) {
    SCOPED_TRACE(item["name"]);
    SparseLibsvmOptions options = {.keep_signs = true};
    options.keep_qids = item.contains("qids");
    options.sort_indices = item["name"] == "unsorted and repeated";
    const auto rows = read_texts(item["files"].get<std::vector<std::string>>(), options);
    test::expect_rows(rows, item);
    EXPECT_EQ(list_of(rows.targets), item["targets"].get<std::vector<float>>());
    if (options.keep_qids) {
      EXPECT_EQ(list_of(rows.qids), item["qids"].get<std::vector<int64_t>>());
    }
  }
}

TEST(ReadersSparseLibsvm, the_base_is_as_told_or_found_out_over_all_files) {
  EXPECT_EQ(list_of(read_texts({"1 1:1 4:1\n"}).indices), (std::vector<int32_t>{0, 3}));
  const auto from_0 = read_texts({"1 1:1 4:1\n"}, {.zero_based = true});
  EXPECT_EQ(list_of(from_0.indices), (std::vector<int32_t>{1, 4}));
  EXPECT_EQ(from_0.columns, 5);
  EXPECT_EQ(list_of(read_texts({"1 1:1\n", "1 0:1\n"}).indices), (std::vector<int32_t>{1, 0}));
  // Column 4 is allowed as long as columns may be counted from 1.
  EXPECT_EQ(read_texts({"1 1:1 4:1\n"}, {.num_features = 4}).columns, 4);
  expect_refused("1 1:1 4:1\n0 0:1\n",
                 ", line 1: found '4:1', but rows have 4 features, so an index is at most 3; set "
                 "num_features to the number of features in all files",
                 {.num_features = 4});
  expect_refused("1 0:1\n",
                 ", line 1: found '0:1'; an index must be at least 1. If the file "
                 "numbers features from 0, set zero_based = true.",
                 {.zero_based = false});
}

TEST(ReadersSparseLibsvm, labels_of_minus_1_and_1_are_classes_0_and_1) {
  EXPECT_EQ(list_of(read_texts({"1 1:1\n-1 1:1\n"}).targets), (std::vector<float>{1, 0}));
  EXPECT_EQ(list_of(read_texts({"1 1:1\n-1 1:1\n"}, {.keep_signs = true}).targets),
            (std::vector<float>{1, -1}));
  EXPECT_EQ(list_of(read_texts({"0 1:1\n", "-1 1:1\n"}).targets), (std::vector<float>{0, -1}));
  EXPECT_EQ(list_of(read_texts({"0.5 1:1\n-1 1:1\n"}).targets), (std::vector<float>{0.5F, -1}));
}

TEST(ReadersSparseLibsvm, an_index_out_of_range_is_refused_with_line_and_remedy) {
  expect_refused("1 1:1\n1 -3:1\n",
                 ", line 2: found '-3:1'; an index must be at least 0. Correct the index.");
  expect_refused("1 1:1\n\n1 3:1 2147483648:1\n",
                 ", line 3: found '2147483648:1', but rows have at most 2147483647 features, so an "
                 "index is at most 2147483647; correct the index");
  expect_refused("1 99999999999999999999:1\n",
                 ", line 1: found '99999999999999999999:1', but rows");
  expect_refused("1 0:1 2147483647:1\n", ", line 1: found '2147483647:1', but rows have at most");
  EXPECT_EQ(read_texts({"1 2147483647:1\n"}).columns, 2147483647);
  expect_refused("1 5:1\n", ", line 1: found '5:1', but rows have 4 features", {.num_features = 4});
}

TEST(ReadersSparseLibsvm, indices_that_do_not_rise_are_refused_and_an_option_is_named) {
  const std::string remedy =
      "; indices must rise along a line. Sort the features of each line, or set sort_indices = "
      "true to sort them and to add values of the same index.";
  expect_refused("1 3:1 2:1\n", ", line 1: found '2:1' after index 3" + remedy);
  expect_refused("1 3:1 3:1\n", ", line 1: found '3:1' after index 3" + remedy);
  expect_refused("1 3:3e38 3:3e38\n",
                 ", line 1: found '1 3:3e38 3:3e38'; values of the same index have a sum",
                 {.sort_indices = true});
}

TEST(ReadersSparseLibsvm, labels_and_values_that_are_no_finite_numbers_are_refused) {
  const std::string value = "; a feature must be index:value, such as 3:0.5, with a finite value";
  for (const char* word : {"1:nan", "1:inf", "1:1e39", "1:", "1", "x:1", ":1", "1:1:1", "1.5:1"}) {
    expect_refused(std::string("1 ") + word + "\n",
                   ", line 1: found '" + std::string(word) + "'" + value);
  }
  expect_refused("nan 1:1\n", ", line 1: the target is 'nan'");
  expect_refused("cat 1:1\n", ", line 1: the target is 'cat'");
  expect_refused("1,3 1:1\n", ", line 1: the target is '1,3'");
  expect_data_error([] { read_texts({"1,3 1:1\n"}); }, "multi-label data");
  expect_data_error([] { read_texts({"1:1 2:1\n"}); }, "Write a label, such as 0, at the front");
  expect_refused("1 qid:x 1:1\n", ", line 1: found 'qid:x'", {.keep_qids = true});
  expect_refused("1 1:1\n", ", line 1: found '1:1' behind the label; with keep_qids",
                 {.keep_qids = true});
  expect_refused("1 1:1 qid:3\n", ", line 1: found 'qid:3'; the number of a query may stand only");
}

/// Lines that are skipped, so that the lines before them don't stand at the end of the text.
const std::string kMoreLines = "\n# " + std::string(60, 'x') + "\n";

TEST(ReadersSparseLibsvm, numbers_of_all_lengths_are_those_of_the_c_library) {
  const std::vector<std::string> numbers = {"0",
                                            "-0",
                                            "1",
                                            "1.",
                                            "11",
                                            "1.0",
                                            ".5",
                                            "-.5",
                                            "+1",
                                            "0.1",
                                            "-0.1",
                                            "0.00000001",
                                            "0.1234567",
                                            "0.12345678",
                                            "0.123456789",
                                            "1234567",
                                            "12345678",
                                            "123456789",
                                            "9999999.99999999",
                                            "16777217",
                                            "1677721.7",
                                            "0.30000001",
                                            "1e3",
                                            "-1.5E-3"};
  const std::vector<int32_t> columns = {1, 9, 10, 999999, 9999999, 10000000, 99999999, 2147483647};
  for (const std::string end : {"\n", " \n", "\t\n", "#:1\n", "\r\n", " 2147483647:1 \n"}) {
    std::string text = "1 1:2" + kMoreLines;  // not all values are 1
    std::vector<float> values;
    std::vector<int32_t> indices;
    for (const auto& number : numbers) {
      for (const int32_t column : columns) {
        if (column == 2147483647 && end.size() > 3) continue;
        text += "-1 " + std::to_string(column) + ":" + number + end;
        values.push_back(static_cast<float>(std::strtod(number.c_str(), nullptr)));
        indices.push_back(column - 1);
        if (end.size() <= 5) continue;
        values.push_back(1.0F);
        indices.push_back(2147483646);
      }
    }
    for (const std::string& tail : {std::string(), kMoreLines}) {
      const auto rows = read_texts({text + tail});
      EXPECT_EQ(list_of(rows.indices).size(), indices.size() + 1);
      EXPECT_TRUE(std::equal(indices.begin(), indices.end(), rows.indices.data() + 1));
      EXPECT_EQ(0, std::memcmp(values.data(), rows.values.data() + 1, values.size() * 4)) << end;
    }
  }
}

TEST(ReadersSparseLibsvm, faults_are_found_wherever_a_line_stands) {
  for (const char* word : {":1", "1:", "1:-", "1:.", "1:-.", "1:1x", "1:1:1", "1:0.1.1", "1:--1",
                           "1x:1", "12345678x:1", "1:1-", "1:0.12345678x", "1:1234567x"}) {
    for (const std::string before : {"1 ", "1 0:1 "}) {
      for (const std::string& tail : {std::string(), kMoreLines}) {
        expect_refused(before + word + tail, ", line 1: found '" + std::string(word) + "'; a");
      }
    }
  }
  expect_refused("1 3:1 2:1" + kMoreLines, ", line 1: found '2:1' after index 3");
  expect_refused("1 3:1 3:1" + kMoreLines, ", line 1: found '3:1' after index 3");
  expect_refused("1 3:1 5:1" + kMoreLines, ", line 1: found '5:1', but rows have 4 features",
                 {.num_features = 4});
  expect_refused("1 0:1 1:1" + kMoreLines, ", line 1: found '0:1'; an index must be at least 1",
                 {.zero_based = false});
}

TEST(ReadersSparseLibsvm, the_lines_of_each_file_are_counted_from_1) {
  for (const int64_t threads : {1, 2}) {
    expect_data_error(
        [&] {
          read_texts({"1 1:1\n1 1:1\n", "1 1:1\nx"}, {.threads = threads});
        },
        "b.svm, line 2: the target is 'x'");
  }
}

TEST(ReadersSparseLibsvm, no_byte_behind_the_last_page_of_a_file_is_read) {
  for (const std::string line : {"1", "1 1:1", "1 1:0.5", "1 1:1 1234567:1234567.12345678"}) {
    const std::string text = "#" + std::string(8192 - line.size() - 2, 'x') + "\n" + line;
    EXPECT_EQ(read_texts({text}, {.num_features = 2000000}).rows(), 1) << line;
  }
}

TEST(ReadersSparseLibsvm, files_without_rows_or_features_and_bad_options_are_refused) {
  expect_refused("# nothing\n\n", " has no rows");
  expect_refused("1\n-1\n", ": no row has a feature");
  EXPECT_EQ(read_texts({"1\n"}, {.num_features = 3}).columns, 3);
  expect_data_error([] { read_sparse_libsvm({}); }, "name at least one");
  EXPECT_THROW(read_texts({"1 1:1\n"}, {.num_features = -1}), ConfigError);
  EXPECT_THROW(read_texts({"1 1:1\n"}, {.threads = 0}), ConfigError);
}

TEST(ReadersSparseLibsvm, any_number_of_threads_reads_the_same_rows) {
  std::mt19937 random(7);
  const std::string text = long_text(random);
  const SparseRows one = read_texts({text});
  EXPECT_EQ(one.rows(), 40000);
  for (const int64_t threads : {2, 3, 8}) {
    test::expect_same_rows(read_texts({text}, {.threads = threads}), one);
  }
}

TEST(ReadersSparseLibsvm, the_first_fault_is_told_with_its_line_by_any_number_of_threads) {
  std::mt19937 random(8);
  std::string text = long_text(random);
  // Row 35,000 comes after 36 comments.
  for (const size_t row : {35036U, 40030U}) {
    size_t at = 0;
    for (size_t line = 1; line < row; ++line) at = text.find('\n', at) + 1;
    text.insert(at, "x");
  }
  for (const int64_t threads : {1, 3}) {
    expect_refused(text, ", line 35036: the target is 'x", {.threads = threads});
  }
}

TEST(ReadersSparseLibsvm, random_damage_is_read_or_refused_but_never_crashes) {
  std::mt19937 random(9);
  const std::string whole = "1 qid:3 1:1 2:0.5 7:-1e3 # x\r\n-1 4:2\n\n2.5 1:1 3:12345678 9:1\n";
  constexpr char kBytes[] = "\n\r\t #:,.-+eE0129qid\0\xff";
  size_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = whole;
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      text[random() % text.size()] = kBytes[random() % (sizeof kBytes - 1)];
    }
    text.resize(text.size() - random() % 8);
    try {
      const auto rows = read_texts({text}, {.sort_indices = random() % 2 == 0});
      rows.check("a.svm", "");
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100U);
}

}  // namespace levin::readers::sparse_libsvm_test
