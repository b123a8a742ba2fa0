#include <levin/datamodules/readers/text_file.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/sparse_ahead.h>
#include <levin/datamodules/readers/sparse_criteo.h>
#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_vw.h>

#include "datamodules/readers/gzip_support.h"
#include "datamodules/readers/sparse_support.h"

namespace levin::readers::text_file_test {

using test::expect_data_error;
using test::gzipped;
using test::gzipped_in_members;
using test::write_text;

/// Lines of 1 to `longest` random digits, about `bytes` in all, the last one without a line end.
std::string random_lines(size_t bytes, size_t longest) {
  std::mt19937 random(5);
  std::string text;
  while (text.size() < bytes) {
    text.append(1 + random() % longest, static_cast<char>('0' + random() % 10));
    text += '\n';
  }
  text.pop_back();
  return text;
}

std::vector<std::string> stretches_of(const std::filesystem::path& path) {
  TextFile file(path);
  std::vector<std::string> stretches;
  for (TextStretch stretch; !file.has_ended();) {
    file.next(stretch);
    stretches.emplace_back(stretch.text);
    file.release(stretch);
  }
  file.check_unchanged();
  return stretches;
}

TEST(ReadersTextFile, gives_the_stretches_of_the_text_whether_it_is_compressed_or_not) {
  const test::TemporaryFolder folder;
  const std::string mark = "\xef\xbb\xbf";
  const std::string texts[] = {
      random_lines(2'300'000, 90),
      mark + random_lines(1'200'000, 90),
      random_lines(100, 10) + "\n",
      std::string(1'500'000, 'x') + "\n" + std::string(700'000, 'y'),  // ends in no line
      std::string((size_t{1} << 20) - 1, 'x') + "\n",                  // ends with a stretch
      mark,
      ""};
  for (const auto& text : texts) {
    SCOPED_TRACE(text.size());
    write_text(folder / "plain", text);
    write_text(folder / "one.gz", gzipped(text));
    write_text(folder / "many.gz", gzipped_in_members(text, 65280));

    const auto expected = stretches_of(folder / "plain");
    std::string all;
    for (const auto& stretch : expected) all += stretch;
    EXPECT_TRUE(all == (text.starts_with(mark) ? text.substr(3) : text));
    EXPECT_TRUE(stretches_of(folder / "one.gz") == expected);
    EXPECT_TRUE(stretches_of(folder / "many.gz") == expected);
  }
}

TEST(ReadersTextFile, refuses_what_is_truncated_damaged_or_followed_by_something_by_its_name) {
  const test::TemporaryFolder folder;
  const auto path = folder / "day_0.gz";
  const std::string text = random_lines(1'300'000, 60);
  const std::string whole = gzipped_in_members(text, 500'000);
  const auto expect_refused = [&](const std::string& bytes, const std::string& reason) {
    write_text(path, bytes);
    expect_data_error(
        [&] { stretches_of(path); },
        "'" + path.string() + "' is damaged or of another format: its compressed data " + reason);
  };
  for (const size_t size : {size_t{2}, size_t{15}, whole.size() / 2, whole.size() - 105}) {
    SCOPED_TRACE(size);
    expect_refused(whole.substr(0, size), "is truncated; copy or download the file again");
  }
  expect_refused(whole + "more", "ends 104 bytes before the file does");
  std::string changed = whole;
  changed[whole.size() / 2] = static_cast<char>(~changed[whole.size() / 2]);
  expect_refused(changed, "");
}

/// Reads a text from files "a.<ending>" and "a.<ending>.gz" by `read` and expects the same rows.
template <class Read>
void expect_same_from_gzip(const std::string& text, const Read& read) {
  const test::TemporaryFolder folder;
  write_text(folder / "a", text);
  write_text(folder / "a.gz", gzipped_in_members(text, 300'000));
  const SparseRows expected = read(folder / "a", 1);
  EXPECT_GT(expected.rows(), 0);
  for (const int64_t threads : {1, 3}) {
    test::expect_same_rows(read(folder / "a.gz", threads), expected);
  }
}

TEST(ReadersTextFile, readers_of_sparse_text_read_what_is_compressed_as_what_is_not) {
  std::string svm, vw, criteo;
  for (int row = 0; row < 30'000; ++row) {
    const auto number = std::to_string(row % 97 + 1);
    const char* const label = row % 3 == 0 ? "1" : "-1";
    svm += label + std::string(" ") + number + ":0.5 100:1 " + std::to_string(200 + row) + ":2\n";
    vw += label + std::string(" 2 |a x") + number + " y:" + number + " |b " + number + "\n";
    if (row % 10 == 0) {
      criteo += (row % 3 == 0 ? "1\t" : "0\t") + number + std::string(12, '\t') +
                std::string(26, '\t') + "ab" + number + "\n";
    }
  }
  expect_same_from_gzip(svm, [](const auto& path, int64_t threads) {
    return read_sparse_libsvm({path}, {.threads = threads});
  });
  expect_same_from_gzip(vw, [](const auto& path, int64_t threads) {
    return read_sparse_vw({path, path}, {.threads = threads});
  });
  expect_same_from_gzip(criteo, [](const auto& path, int64_t threads) {
    return read_sparse_criteo({path}, {.threads = threads});
  });
}

SparseAhead libsvm_ahead(const std::vector<std::filesystem::path>& files, int64_t threads) {
  static const SparseLibsvmOptions options = {.num_features = 40'000, .zero_based = false};
  return {files, [](const std::string& name) { return sparse_libsvm_format(name, options); },
          threads};
}

TEST(ReadersTextFile, streams_of_compressed_text_have_its_rows_and_name_the_lines_of_faults) {
  const test::TemporaryFolder folder;
  std::string text;
  for (int row = 0; row < 90'000; ++row)
    text += "1 3:0.5 " + std::to_string(7 + row % 900) + ":2\n";
  write_text(folder / "a.svm", text);
  write_text(folder / "a.svm.gz", gzipped_in_members(text, 200'000));
  write_text(folder / "b.svm.gz", gzipped(text + "1 x\n" + text));
  write_text(folder / "c.svm.gz", gzipped(text).substr(0, 20'000));
  for (const int64_t threads : {1, 3}) {
    SCOPED_TRACE(threads);
    SparseRows rows;
    SparseAhead good = libsvm_ahead({folder / "a.svm.gz", folder / "a.svm"}, threads);
    for (ParsedRows some; good.next(some);) rows.append(some.rows);
    rows.columns = 40'000;
    test::expect_same_rows(
        rows, read_sparse_libsvm({folder / "a.svm", folder / "a.svm"}, {.num_features = 40'000}));
    SparseAhead bad = libsvm_ahead({folder / "a.svm.gz", folder / "b.svm.gz"}, threads);
    ParsedRows some;
    expect_data_error(
        [&] {
          while (bad.next(some)) continue;
        },
        (folder / "b.svm.gz").string() + ", line 90001");
    SparseAhead cut = libsvm_ahead({folder / "a.svm.gz", folder / "c.svm.gz"}, threads);
    expect_data_error(
        [&] {
          while (cut.next(some)) continue;
        },
        (folder / "c.svm.gz").string());
  }
}

TEST(ReadersTextFile, holds_a_few_stretches_of_a_compressed_file_and_not_all_of_it) {
  const test::TemporaryFolder folder;
  std::string text;
  while (text.size() < 20'000'000)
    text += "1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1\n";  // 1.1 bytes a byte
  write_text(folder / "a.svm.gz", gzipped(text));
  text = {};
  const int64_t before = test::bytes_alive();
  int64_t most = 0, rows = 0;
  SparseAhead ahead = libsvm_ahead({folder / "a.svm.gz"}, 1);
  for (ParsedRows some; ahead.next(some); rows += some.rows.rows()) {
    most = std::max(most, test::bytes_alive() - before);
  }
  EXPECT_GT(rows, 500'000);
  EXPECT_LT(most, 12'000'000);
}

}  // namespace levin::readers::text_file_test
