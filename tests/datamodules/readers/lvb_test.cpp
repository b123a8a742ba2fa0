#include <levin/datamodules/readers/lvb.h>

#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>

#include "datamodules/readers/support.h"

namespace levin::readers::lvb_test {

using test::expect_data_error;

// Where the numbers of the header lie (lvb.h): the first column, "input", is at 40, the second,
// "target", at 64.
constexpr size_t kVersionAt = 8;
constexpr size_t kHeaderSizeAt = 12;
constexpr size_t kRowsAt = 16;
constexpr size_t kStrideAt = 24;
constexpr size_t kColumnsAt = 32;
constexpr size_t kCrcAt = 36;
constexpr size_t kInputDtypeAt = 42;
constexpr size_t kInputSizeAt = 48;
constexpr size_t kTargetOffsetAt = 68;

/// A file without rows: the header, of 128 bytes. Rows are 24 bytes apart.
std::string whole_header() {
  return lvb_header(
      lvb_layout({{"input", DType::float32, {3}}, {"target", DType::int64, {}}}, /*rows=*/0));
}

/// The checksum that the header should have.
uint32_t crc_of(std::string header) {
  header.replace(kCrcAt, 4, 4, '\0');
  return crc32(bytes_of(header));
}

/// The header with another byte at `at` and the checksum that belongs to it.
std::string changed(size_t at, uint8_t value) {
  std::string header = whole_header();
  header[at] = static_cast<char>(value);
  const uint32_t crc = crc_of(header);
  for (size_t i = 0; i < 4; ++i) header[kCrcAt + i] = static_cast<char>(crc >> (8 * i) & 0xff);
  return header;
}

void expect_refused(std::string_view header, const std::string& reason) {
  expect_data_error([&] { parse_lvb_header(bytes_of(header), "a.lvb"); },
                    "'a.lvb' is damaged or of another format: " + reason);
}

TEST(ReadersLvb, a_header_that_it_writes_is_read) {
  const std::string header = whole_header();
  ASSERT_EQ(header.size(), 128U);
  const LvbHeader read = parse_lvb_header(bytes_of(header), "a.lvb");
  EXPECT_EQ(read.stride, 24U);
  EXPECT_EQ(read.columns.back().name, "target");
}

TEST(ReadersLvb, names_of_features_are_kept_and_checked) {
  const std::vector<Column> columns = {{"input", DType::float32, {2}},
                                       {"target", DType::int64, {}}};
  const std::string header = lvb_header(lvb_layout(columns, 0, {{"a", "b c"}, "label"}));
  const LvbHeader read = parse_lvb_header(bytes_of(header), "a.lvb");
  EXPECT_EQ(read.names.features, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(read.names.target, "label");
  LvbNames one;
  one.features = {"a"};
  expect_refused(
      lvb_header(lvb_layout(columns, 0, one)),
      "the number of its names is 2, but must be 3, one for each feature and the target");
  // Names that are too long for a header are left out.
  one.features = {"a", std::string(70000, 'x')};
  EXPECT_TRUE(lvb_layout(columns, 0, one).names.features.empty());
  EXPECT_TRUE(parse_lvb_header(bytes_of(whole_header()), "a.lvb").names.features.empty());
}

TEST(ReadersLvb, another_format_or_version_is_named) {
  expect_refused("PK\x03\x04 another format",
                 "it isn't a .lvb file, which starts with the bytes 89 4c 56 42 0d 0a 1a 0a; check "
                 "that it is the right file");
  expect_refused(
      changed(kVersionAt, 2),
      "its rows are sparse, but dense rows are read here; use what reads sparse rows, or "
      "make it again with levin convert and sparse = false");
  expect_refused(changed(kVersionAt, 3),
                 "its version of the .lvb format is 3, but this Levin reads version 1; use a newer "
                 "Levin, or make it again with levin convert");
}

TEST(ReadersLvb, a_damaged_header_says_what_was_found_and_what_must_be) {
  const std::string again = "; copy it again, or make it again with levin convert";
  expect_refused(whole_header().substr(0, 10),
                 "its header ends after 10 bytes, but more are needed" + again);
  expect_refused(
      changed(kHeaderSizeAt, 100),
      "the size of its header is 100, but must be a multiple of 64 up to 1048576" + again);
  expect_refused(changed(kHeaderSizeAt, 192),
                 "it ends after 128 bytes, inside its header of 192" + again);
  std::string torn = whole_header();
  torn[kRowsAt] = 1;
  char checksums[80];
  std::snprintf(checksums, sizeof checksums, "is %08x, but the header says %08x", crc_of(torn),
                crc_of(whole_header()));
  expect_refused(torn, std::string("the checksum (CRC-32) of its header ") + checksums + again);
  expect_refused(changed(kColumnsAt, 0),
                 "the number of its columns is 0, but must be from 1 to 1024" + again);
  expect_refused(changed(kColumnsAt, 3), "column 3 has no name" + again);
  expect_refused(changed(kColumnsAt, 10),
                 "its header ends after 128 bytes, but more are needed" + again);
  expect_refused(changed(kInputDtypeAt, 12),
                 "the element type of a column is 12, but must be from 0 to 11" + again);
  expect_refused(changed(kInputSizeAt, 0),
                 "column 'input' is float32 [0], which holds no values" + again);
  expect_refused(changed(kInputSizeAt + 7, 0x7f),
                 "column 'input' is float32 [9151314442816847875], which takes more bytes than a "
                 "file can have" +
                     again);
  expect_refused(
      changed(kTargetOffsetAt, 20),
      "column 'target' is int64 [] and takes 8 bytes from offset 20 on, but a record has "
      "24 bytes" +
          again);
  expect_refused(changed(kStrideAt + 7, 1),
                 "its header says 0 rows of 72057594037927960 bytes, but a row may have at most "
                 "2^40 bytes and all rows 2^62" +
                     again);
}

TEST(ReadersLvb, a_file_of_another_length_says_both_lengths) {
  const std::string again = "; copy it again, or make it again with levin convert";
  expect_refused(changed(kRowsAt, 1),
                 "it has 128 bytes, but its header says 152: it is truncated" + again);
  expect_refused(whole_header() + "x",
                 "it has 129 bytes, but its header says 128: something was appended to it" + again);
}

}  // namespace levin::readers::lvb_test
