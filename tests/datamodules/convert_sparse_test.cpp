#include <levin/datamodules/convert_sparse.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/sparse_criteo.h>
#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_lvb.h>
#include <levin/datamodules/readers/sparse_vw.h>

#include "datamodules/readers/gzip_support.h"
#include "datamodules/readers/sparse_support.h"

// Sparse rows become shards while they are read. What holds for all conversions is tested in
// convert_test.cpp.
namespace levin::convert_sparse_test {

namespace fs = std::filesystem;
using readers::SparseRows;
using test::write_text;
using Progress = std::function<void(int64_t, int64_t)>;

Converted write_shards(const fs::path& folder, ConvertOptions options,
                       const std::vector<fs::path>& inputs, const Progress& progress = {}) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& input : inputs) options.inputs.push_back(input.string());
  options.sparse = true;
  return write_sparse_shards(options, folder, progress);
}

/// All rows of the shards, which must have these columns and be nothing but `written`.
SparseRows rows_of_shards(const fs::path& folder, const Converted& written, int64_t columns) {
  SparseRows rows;
  int64_t shards = 0;
  uint64_t bytes = 0;
  for (const auto& file : readers::find_files({folder.string()})) {
    const readers::SparseLvb shard(file);
    EXPECT_EQ(shard.columns(), columns) << file;
    rows.append(shard.read(0, shard.rows()));
    bytes += shard.file_bytes();
    ++shards;
  }
  rows.columns = columns;
  EXPECT_EQ(rows.rows(), written.rows);
  EXPECT_EQ(shards, written.shards);
  EXPECT_EQ(bytes, written.bytes);
  return rows;
}

TEST(ConvertSparse, shards_have_the_rows_that_readers_give_whatever_is_known_only_at_the_end) {
  const test::TemporaryFolder folder;
  std::string ones, signs;
  for (int row = 0; row < 100; ++row) ones += "1 " + std::to_string(1 + row % 9) + ":1\n";
  for (int row = 0; row < 50; ++row) signs += "-1 3:1 77:0.25\n";
  write_text(folder / "ones.svm", ones);
  write_text(folder / "signs.svm", signs);  // the first values, the first -1 and the last column
  write_text(folder / "zeros.svm", "0 1:1\n");
  write_text(folder / "fractions.svm", "0.5 1:1\n");
  const fs::path a = folder / "ones.svm", b = folder / "signs.svm";
  for (const auto& last : {a, folder / "zeros.svm", folder / "fractions.svm"}) {
    SCOPED_TRACE(last);
    for (const int64_t features : {0, 77, 200}) {
      const auto written = write_shards(
          folder / "out", {.rows_per_shard = 30, .num_features = features}, {a, b, last});
      const auto expected = readers::read_sparse_libsvm(
          {a, b, last}, {.num_features = features, .zero_based = false});
      const auto rows = rows_of_shards(folder / "out", written, expected.columns);
      test::expect_same_rows(rows, expected);
      const bool has_signs = std::ranges::count(rows.targets.span(), -1.0F) > 0;
      EXPECT_EQ(has_signs, last != a);
    }
  }
}

TEST(ConvertSparse, hashed_and_compressed_text_becomes_shards_by_its_names_or_its_format) {
  const test::TemporaryFolder folder;
  std::string vw, criteo;
  for (int row = 0; row < 100; ++row) {
    const auto number = std::to_string(row % 13);
    vw += (row % 2 == 0 ? "1" : "-1") + std::string(row < 60 ? "" : " 2") + " |a x" + number +
          " y:" + number + ".5\n";
    criteo += (row % 3 == 0 ? "1\t" : "0\t") + number + std::string(12, '\t') +
              std::string(26, '\t') + "ab" + number + "\n";
  }
  const fs::path text = folder / "a.vw.gz", table = folder / "day_0.gz";
  write_text(text, test::gzipped_in_members(vw, 500));
  write_text(table, test::gzipped_in_members(criteo, 500));
  auto written = write_shards(folder / "out", {.rows_per_shard = 40, .hash_bits = 10}, {text});
  test::expect_same_rows(rows_of_shards(folder / "out", written, 1024),
                         readers::read_sparse_vw({text}, {.bits = 10}));
  written = write_shards(folder / "out", {.format = "criteo"}, {table, table});
  test::expect_same_rows(rows_of_shards(folder / "out", written, 1 << 20),
                         readers::read_sparse_criteo({table, table}));
  write_text(folder / "a.npz.gz", "");
  test::expect_data_error([&] { write_shards(folder / "out", {}, {folder / "a.npz.gz"}); },
                          "only text may be gzipped, but not .npz files");
}

TEST(ConvertSparse, holds_a_few_stretches_of_text_and_not_all_rows) {
  const test::TemporaryFolder folder;
  std::string text;
  while (text.size() < 20'000'000) text += "1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1\n";
  write_text(folder / "a.svm", text);
  const auto lines = static_cast<int64_t>(std::ranges::count(text, '\n'));
  text = {};
  const int64_t before = test::bytes_alive();
  int64_t most = 0;
  const auto look = [&](int64_t, int64_t) { most = std::max(most, test::bytes_alive() - before); };
  // The rows take 25 MB in memory, in one shard or in several.
  for (const int64_t rows_per_shard : {int64_t{0}, int64_t{100'000}}) {
    const auto written =
        write_shards(folder / "out", {.rows_per_shard = rows_per_shard}, {folder / "a.svm"}, look);
    EXPECT_EQ(written.rows, lines);
  }
  EXPECT_LT(most, 12'000'000);
}

TEST(ConvertSparse, tells_of_rows_that_are_written_and_of_those_there_are) {
  const test::TemporaryFolder folder;
  std::string text;
  for (int row = 0; row < 90; ++row) text += "1 1:1\n";
  write_text(folder / "a.svm", text);
  std::vector<std::pair<int64_t, int64_t>> told;
  write_shards(folder / "out", {.rows_per_shard = 40}, {folder / "a.svm"},
               [&](int64_t done, int64_t total) {
                 if (told.empty() || told.back() != std::pair(done, total)) {
                   told.emplace_back(done, total);
                 }
               });
  EXPECT_EQ(told, (std::vector<std::pair<int64_t, int64_t>>{
                      {0, 0}, {0, 90}, {40, 90}, {80, 90}, {90, 90}}));
}

}  // namespace levin::convert_sparse_test
