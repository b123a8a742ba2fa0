#include <levin/framework/formats/zip_records.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <zlib.h>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::test::zip_records_test {

using zip_records::Archive;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string read(Archive& archive, std::string_view name) {
  std::vector<std::byte> inflated;
  return text_of(archive.read(name, inflated));
}

/// An archive of the three records "a/text", "a/empty" and "a/long".
std::string archive_of(const std::string& text, const std::string& longer) {
  std::vector<std::string> headers;
  const auto parts = zip_records::archive_parts(
      {{"a/text", bytes_of(text)}, {"a/empty", {}}, {"a/long", bytes_of(longer)}}, headers);
  std::string file;
  for (const auto& part : parts) file += text_of(part);
  return file;
}

void put(std::string& out, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

/// An archive with one record, compressed by deflate, whose list says that it has `size` bytes.
std::string deflated_archive(const std::string& text, uint64_t size, uint16_t method = 8,
                             uint16_t flags = 0) {
  std::string stored(::compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(stored.data());
  stream.avail_out = static_cast<uInt>(stored.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  stored.resize(stream.total_out);
  ::deflateEnd(&stream);
  const auto crc =
      ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));

  std::string common;  // of the two headers
  put(common, 20, 2);
  put(common, flags, 2);
  put(common, method, 2);
  put(common, 0, 4);
  put(common, crc, 4);
  put(common, stored.size(), 4);
  put(common, size, 4);
  put(common, 1, 2);
  put(common, 0, 2);
  std::string file = "PK\x03\x04" + common + "r" + stored;
  const size_t list = file.size();
  file += "PK\x01\x02";
  put(file, 20, 2);
  file += common;
  put(file, 0, 2 + 2 + 2);
  put(file, 0, 4 + 4);
  file += "r";
  const size_t list_size = file.size() - list;
  file += "PK\x05\x06";
  put(file, 0, 4);
  put(file, 1, 2);
  put(file, 1, 2);
  put(file, list_size, 4);
  put(file, list, 4);
  put(file, 0, 2);
  return file;
}

TEST(ZipRecords, ReadsWhatItWrites) {
  const std::string text = "some bytes", longer(1000, 'x');
  const std::string file = archive_of(text, longer);
  ASSERT_TRUE(zip_records::is_archive(bytes_of(file)));
  Archive archive(bytes_of(file), "a.zip");
  EXPECT_EQ(archive.names(), (std::vector<std::string>{"a/empty", "a/long", "a/text"}));
  EXPECT_EQ(read(archive, "a/text"), text);
  EXPECT_EQ(read(archive, "a/empty"), "");
  EXPECT_EQ(read(archive, "a/long"), longer);
  EXPECT_EQ(archive.size("a/long"), 1000U);
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { read(archive, "b"); }),
                   {"'a.zip'", "it has no record 'b'"}));
}

TEST(ZipRecords, TheBytesOfEachRecordStartAtAMultipleOf64) {
  const std::string text = "0123456789", longer = "abcdefgh";
  const std::string file = archive_of(text, longer);
  EXPECT_EQ(file.find(text) % 64, 0U);
  EXPECT_EQ(file.find(longer) % 64, 0U);
}

TEST(ZipRecords, ReadsCompressedRecords) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i % 37);
  const std::string file = deflated_archive(text, text.size());
  ASSERT_LT(file.size(), text.size());
  Archive archive(bytes_of(file), "a.zip");
  EXPECT_EQ(read(archive, "r"), text);
}

TEST(ZipRecords, RefusesWhatItCannotRead) {
  const std::string text(5000, 'x');
  const auto message = [](const std::string& file) {
    return message_of<CheckpointError>([&] {
      Archive archive(bytes_of(file), "a.zip");
      read(archive, "r");
    });
  };
  EXPECT_TRUE(says(message(deflated_archive(text, 5001)), {"'r' can't be decompressed"}));
  EXPECT_TRUE(says(message(deflated_archive(text, 4999)), {"'r' can't be decompressed"}));
  EXPECT_TRUE(says(message(deflated_archive(text, 1 << 30)), {"can't have 1073741824 bytes"}));
  EXPECT_TRUE(says(message(deflated_archive(text, 5000, 12)), {"compressed by method 12"}));
  EXPECT_TRUE(says(message(deflated_archive(text, 5000, 8, 1)), {"'r' is encrypted"}));
  EXPECT_TRUE(says(message("PK\x03\x04 and no more"), {"the list of its records"}));
}

// Else each of many entries could have the bytes of the whole file, and reading all of them would
// take quadratic time.
TEST(ZipRecords, RecordsMustNotShareTheirBytes) {
  const std::string text(300, 'x');
  std::vector<std::string> headers;
  const auto parts =
      zip_records::archive_parts({{"a", bytes_of(text)}, {"b", bytes_of(text)}}, headers);
  std::string file = text_of(parts[0]) + text_of(parts[1]);
  std::string list = text_of(parts[4]);
  const size_t removed = parts[2].size() + parts[3].size();
  const size_t second = list.find("PK\x01\x02", 4);
  list.replace(second + 42, 4, std::string(4, '\0'));  // b is where a is
  const size_t end = list.find("PK\x05\x06");
  std::string start;
  put(start, file.size(), 4);
  list.replace(end + 16, 4, start);
  ASSERT_GT(removed, 300U);
  file += list;
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { Archive(bytes_of(file), "a.zip"); }),
                   {"its records overlap"}));
}

TEST(ZipRecords, ADamagedFileIsRefusedOrReadsTheSame) {
  const std::string text = "some bytes", longer(100, 'x');
  const std::string file = archive_of(text, longer);
  const auto check = [&](const std::string& damaged, size_t place) {
    try {
      // Of its own, so that the address sanitizer sees what is read beyond its end.
      const std::vector<char> exact(damaged.begin(), damaged.end());
      Archive archive(std::as_bytes(std::span(exact)), "a.zip");
      for (const auto& name : archive.names()) {
        const auto found = read(archive, name);
        EXPECT_TRUE(found == text || found == longer || found.empty()) << place;
      }
    } catch (const CheckpointError&) {
    }
  };
  for (size_t size = 0; size < file.size(); ++size) {
    const std::string cut = file.substr(0, size);
    EXPECT_THROW(Archive(bytes_of(cut), "a.zip"), CheckpointError) << size;
    check(cut, size);
  }
  for (size_t place = 0; place < file.size(); ++place) {
    for (const int change : {1, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[place] = static_cast<char>(damaged[place] ^ change);
      check(damaged, place);
    }
  }
}

}  // namespace levin::test::zip_records_test
