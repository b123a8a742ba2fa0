#include <levin/datamodules/readers/sparse_lvb_writer.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/sparse_lvb.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_lvb_writer_test {

/// Rows of 0 to 4 entries. Values other than 1, and weights, occur from a row on, if at all.
SparseRows some_rows(int64_t count, int64_t values_from, int64_t weights_from, bool has_targets) {
  SparseRows rows;
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t i = 0; i < row % 5; ++i) {
      rows.add(static_cast<int32_t>(10 * i + row % 7), row >= values_from ? 0.5F : 1.0F);
    }
    rows.end_row();
    if (has_targets) rows.targets.push_back(row % 2 == 0 ? 1.0F : -1.0F);
    if (weights_from < count) rows.weights.push_back(row >= weights_from ? 2.0F : 1.0F);
  }
  rows.columns = 50;
  return rows;
}

TEST(ReadersSparseLvbWriter, makes_the_file_that_rows_in_memory_make) {
  const test::TemporaryFolder folder;
  const int64_t cases[][3] = {{1000, 0, 0}, {1000, 700, 1000}, {1000, 1000, 333}, {1, 1, 1}};
  for (const auto& [count, values_from, weights_from] : cases) {
    for (const bool has_targets : {true, false}) {
      SCOPED_TRACE(testing::Message() << count << " " << values_from << " " << weights_from);
      const auto rows = some_rows(count, values_from, weights_from, has_targets);
      write_sparse_lvb(folder / "expected.lvb", rows);
      SparseLvbWriter writer(folder / "found.lvb");
      for (int64_t first = 0; first < count; first += 300) {
        // Pieces of text hold only what they need: ones are left out.
        SparseRows piece;
        const int64_t some = std::min<int64_t>(300, count - first);
        const auto part = rows.slice(first, some);
        for (int64_t row = 0; row < some; ++row) {
          const auto at = static_cast<size_t>(row);
          for (auto i = static_cast<size_t>(part.offsets[at]);
               i < static_cast<size_t>(part.offsets[at + 1]); ++i) {
            piece.add(part.indices[i], part.values.empty() ? 1.0F : part.values[i]);
          }
          piece.end_row();
          if (has_targets) piece.targets.push_back(part.targets[at]);
        }
        if (first + some > weights_from) piece.weights.append(part.weights.span());
        writer.append(piece, 0, some / 2);
        writer.append(piece, some / 2, some - some / 2);
      }
      const auto size = writer.finish({.columns = 50});
      EXPECT_EQ(size, std::filesystem::file_size(folder / "expected.lvb"));
      EXPECT_TRUE(test::read_file(folder / "found.lvb") ==
                  test::read_file(folder / "expected.lvb"));
    }
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2)
      << "the lists are gone";
}

TEST(ReadersSparseLvbWriter, makes_targets_of_minus_1_class_0_if_it_is_told_to) {
  const test::TemporaryFolder folder;
  const auto rows = some_rows(5, 9, 9, true);
  for (const bool has_signs : {true, false}) {
    SparseLvbWriter writer(folder / "a.lvb");
    writer.append(rows, 0, 5);
    writer.finish({.columns = 50, .has_signs = has_signs});
    const float low = has_signs ? 0.0F : -1.0F;
    EXPECT_EQ(test::list_of(SparseLvb(folder / "a.lvb").read(0, 5).targets),
              (std::vector<float>{1, low, 1, low, 1}));
  }
}

TEST(ReadersSparseLvbWriter, knows_how_many_rows_fit) {
  const test::TemporaryFolder folder;
  const auto rows = some_rows(100, 0, 0, true);  // 16 bytes a row, 8 an entry
  const auto bytes_of_rows = [](int64_t count) {
    int64_t bytes = 8;
    for (int64_t row = 0; row < count; ++row) bytes += 16 + 8 * (row % 5);
    return static_cast<uint64_t>(bytes);
  };
  SparseLvbWriter writer(folder / "a.lvb");
  EXPECT_EQ(writer.rows_within(1, rows, 0), 1) << "an empty shard takes a row of any size";
  EXPECT_EQ(writer.rows_within(bytes_of_rows(40), rows, 0), 40);
  EXPECT_EQ(writer.rows_within(bytes_of_rows(40) - 1, rows, 0), 39);
  EXPECT_EQ(writer.rows_within(uint64_t{1} << 40, rows, 30), 70);
  writer.append(rows, 0, 30);
  EXPECT_EQ(writer.rows_within(bytes_of_rows(40), rows, 30), 10);
  EXPECT_EQ(writer.rows_within(1, rows, 30), 0);
}

}  // namespace levin::readers::sparse_lvb_writer_test
