#include <levin/datamodules/readers/sparse_lvb.h>

#include <string>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/lvb.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_lvb_test {

using test::expect_data_error;

/// Four rows with 2, 0, 1 and 3 entries in 10 columns.
SparseRows four_rows(bool with_all) {
  SparseRows rows;
  rows.columns = 10;
  int32_t column = 0;
  for (const int entries : {2, 0, 1, 3}) {
    for (int i = 0; i < entries; ++i) rows.add(column++, with_all ? 0.5F : 1.0F);
    rows.end_row();
    if (!with_all) continue;
    rows.targets.push_back(static_cast<float>(entries));
    rows.weights.push_back(static_cast<float>(column));
    rows.qids.push_back(100 - column);
  }
  return rows;
}

std::string file_with(const SparseRows& rows) {
  const test::TemporaryFolder folder;
  write_sparse_lvb(folder / "a.lvb", rows);
  return test::to_text(read_file(folder / "a.lvb"));
}

SparseRows read_text_as_shard(const std::string& text) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.lvb", text);
  const SparseLvb shard(folder / "a.lvb");
  return shard.read(0, shard.rows());
}

void expect_refused(const std::string& text, const std::string& reason) {
  expect_data_error([&] { read_text_as_shard(text); }, reason);
}

/// The file with another byte in its header, and the checksum that belongs to it.
std::string changed(std::string text, size_t at, char value) {
  text[at] = value;
  text.replace(36, 4, 4, '\0');
  const uint32_t crc = crc32(bytes_of(std::string_view(text).substr(0, 64)));
  for (size_t i = 0; i < 4; ++i) text[36 + i] = static_cast<char>(crc >> (8 * i) & 0xff);
  return text;
}

TEST(ReadersSparseLvb, rows_that_it_writes_are_read_whole_and_in_any_range) {
  const test::TemporaryFolder folder;
  for (const bool with_all : {false, true}) {
    const SparseRows rows = four_rows(with_all);
    write_sparse_lvb(folder / "a.lvb", rows);
    EXPECT_TRUE(is_sparse_lvb(folder / "a.lvb"));
    const SparseLvb shard(folder / "a.lvb");
    EXPECT_EQ(shard.rows(), 4);
    EXPECT_EQ(shard.entries(), 6);
    EXPECT_EQ(shard.columns(), 10);
    EXPECT_EQ(shard.has_targets(), with_all);
    EXPECT_EQ(shard.file_bytes(), std::filesystem::file_size(folder / "a.lvb"));
    for (int64_t first = 0; first <= 4; ++first) {
      for (int64_t count = 0; first + count <= 4; ++count) {
        SCOPED_TRACE(std::to_string(first) + " " + std::to_string(count));
        test::expect_same_rows(shard.read(first, count), rows.slice(first, count));
      }
    }
    expect_data_error([&] { shard.read(2, 3); }, "ask for rows that ");
    expect_data_error([&] { shard.read(-1, 1); }, "ask for rows that ");
  }
}

TEST(ReadersSparseLvb, every_damage_of_a_byte_is_refused_or_gives_rows_as_promised) {
  const Bytes file = test::to_bytes(file_with(four_rows(true)));
  const size_t refused = test::refused_mutations(file, [&](const Bytes& bytes, auto) {
    read_text_as_shard(test::to_text(bytes)).check("a.lvb", "");
    return true;
  });
  EXPECT_GT(refused, file.size());
}

TEST(ReadersSparseLvb, a_damaged_file_says_what_was_found_and_what_to_do) {
  const std::string whole = file_with(four_rows(true));
  const std::string again = "; copy it again, or make it again with levin convert";
  expect_refused("PK\x03\x04", "it isn't a .lvb file");
  expect_refused(changed(whole, 8, 1), "its rows are dense");
  expect_refused(changed(whole, 8, 3), "its version of the .lvb format is 3");
  expect_refused(whole.substr(0, 40), "it ends after 40 bytes, inside its header" + again);
  std::string torn = whole;
  torn[16] = 9;
  expect_refused(torn, "the checksum (CRC-32) of its header is wrong" + again);
  expect_refused(changed(whole, 23, 127), "which no file can have" + again);
  expect_refused(whole.substr(0, whole.size() - 1), ": it is truncated" + again);
  expect_refused(whole + "x", ": something was appended to it" + again);
  std::string overlapping = whole;
  overlapping[64 + 8] = 9;  // the end of row 0
  expect_refused(overlapping, "lie outside the file or overlap" + again);
}

TEST(ReadersSparseLvb, the_reader_of_dense_rows_says_that_rows_are_sparse) {
  const std::string whole = file_with(four_rows(false));
  expect_data_error([&] { parse_lvb_header(bytes_of(whole), "a.lvb"); }, "its rows are sparse");
}

}  // namespace levin::readers::sparse_lvb_test
