#include <levin/datamodules/readers/idx.h>

#include <array>
#include <cstdlib>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/datamodules/readers/gzip.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

namespace levin::readers::idx_test {

using test::expect_data_error;

TEST(ReadersIdx, reads_every_type_plain_and_compressed) {
  const test::TemporaryFolder folder;
  for (const auto& item : test::reader_baselines()["idx"]) {
    SCOPED_TRACE(item["name"]);
    test::write_text(folder / "named_anyhow", test::to_text(test::file_of(item)));
    test::expect_equal(read_idx(folder / "named_anyhow"), item);
  }
}

TEST(ReadersIdx, refuses_truncated_longer_and_foreign_files) {
  const Bytes file = test::file_of(test::baseline("idx", "uint8"));
  const Bytes cut(file.begin(), file.end() - 1);
  expect_data_error([&] { parse_idx(cut, "a.idx"); },
                    "'a.idx' is damaged or of another format: its header says uint8 [2, 4, 3], "
                    "which takes 24 bytes, but is followed by 23: it is truncated; copy or "
                    "download it again");
  const Bytes header_cut(file.begin(), file.begin() + 10);
  expect_data_error([&] { parse_idx(header_cut, "a.idx"); },
                    "'a.idx' is damaged or of another format: it ends after 10 bytes, inside the "
                    "header of an IDX file; copy or download it again");
  expect_data_error([] { parse_idx({}, "a.idx"); }, "it ends after 0 bytes, inside the header");
  Bytes longer = file;
  longer.push_back(std::byte{0});
  expect_data_error([&] { parse_idx(longer, "a.idx"); },
                    "takes 24 bytes, but is followed by 25: something was appended to it; copy or "
                    "download it again");
  Bytes foreign = file;
  foreign[0] = std::byte{1};
  expect_data_error([&] { parse_idx(foreign, "a.idx"); },
                    "'a.idx' is damaged or of another format: it isn't an IDX file: its magic "
                    "number is 16779267, but MNIST's are 2051 (images) and 2049 (labels); check "
                    "that it is the right file");
  const test::TemporaryFolder folder;
  expect_data_error([&] { read_idx(folder / "missing"); },
                    "can't read '" + (folder / "missing").string() + "': No such file");
}

TEST(ReadersIdx, refuses_sizes_that_overflow) {
  Bytes file = test::to_bytes(std::string("\x00\x00\x0e\x04", 4));
  file.resize(4 + 16, std::byte{0xff});
  expect_data_error([&] { parse_idx(file, "a.idx"); },
                    "its header says float64 [4294967295, 4294967295, 4294967295, 4294967295], "
                    "which takes more bytes than a file can have, but is followed by 0: its header "
                    "is damaged; copy or download it again");
}

TEST(ReadersIdx, survives_every_changed_byte_and_notices_it_where_the_file_is_compressed) {
  const Bytes plain = test::file_of(test::baseline("idx", "uint8"));
  const size_t refused =
      test::refused_mutations(plain, [&](const Bytes& changed, const std::string&) {
        const Array array = parse_idx(changed, "a.idx");
        return byte_count(array.shape, array.dtype) == array.bytes.size();
      });
  EXPECT_GT(refused, plain.size());
  const auto& item = test::baseline("idx", "uint8, gzip");
  const Array right = parse_idx(test::file_of(item), "a.idx.gz");
  const size_t refused_compressed =
      test::refused_mutations(test::file_of(item), [&](const Bytes& changed, const std::string&) {
        const Array array = parse_idx(changed, "a.idx.gz");
        return array.shape == right.shape && array.bytes == right.bytes;
      });
  EXPECT_GT(refused_compressed, test::file_of(item).size() * 8);
}

// Row 14: the real files, where the test machine has them.
TEST(ReadersIdx, reads_and_verifies_mnist) {
  const char* folder = std::getenv("MNIST_DIR");
  if (folder == nullptr) GTEST_SKIP() << "MNIST_DIR isn't set: the MNIST files aren't here";
  const auto path = std::filesystem::path(folder) / "t10k-labels-idx1-ubyte.gz";
  verify_file(path, {"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", true});
  verify_file(path, {"27ae3e4e09519cfbb04c329615203637", true});
  const Array labels = read_idx(path);
  EXPECT_EQ(labels.shape, (std::vector<int64_t>{10000}));
  std::array<int, 10> counts = {};
  for (uint8_t label : labels.values<uint8_t>()) ++counts.at(label);
  // torchvision: MNIST(train=False).targets.bincount()
  EXPECT_EQ(counts, (std::array<int, 10>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
  const Array images = read_idx(std::filesystem::path(folder) / "t10k-images-idx3-ubyte.gz");
  EXPECT_EQ(images.shape, (std::vector<int64_t>{10000, 28, 28}));
}

TEST(ReadersGzip, unpacks_all_members) {
  const std::string text = test::reader_baselines()["gzip_text"];
  for (const auto& item : test::reader_baselines()["gzip"]) {
    SCOPED_TRACE(item["name"]);
    EXPECT_EQ(test::to_text(gunzip(test::file_of(item), "a.gz")), text);
  }
}

TEST(ReadersGzip, detects_every_truncation_and_bytes_behind_the_end) {
  const Bytes file = test::file_of(test::baseline("gzip", "two members"));
  const std::string text = test::reader_baselines()["gzip_text"];
  size_t whole = 0;
  for (size_t size = 0; size < file.size(); ++size) {
    try {  // a cut exactly between the members leaves a whole file
      EXPECT_EQ(test::to_text(gunzip(std::span(file).first(size), "a.gz")), text.substr(0, 100));
      ++whole;
    } catch (const DataError&) {
    }
  }
  EXPECT_EQ(whole, 1u);
  Bytes longer = file;
  longer.push_back(std::byte{'x'});
  expect_data_error([&] { gunzip(longer, "a.gz"); },
                    "'a.gz' is damaged or of another format: its compressed data ends 1 byte "
                    "before the file does; copy or download the file again");
  expect_data_error([] { gunzip(test::to_bytes("plain"), "a.gz"); },
                    "it isn't a gzip file, which starts with the bytes 1f 8b; check that it is the "
                    "right file");
  expect_data_error([&] { gunzip(std::span(file).first(file.size() - 3), "a.gz"); },
                    "its compressed data is truncated; copy or download the file again");
  Bytes damaged = file;
  damaged[damaged.size() - 8] ^= std::byte{1};  // in the checksum
  expect_data_error([&] { gunzip(damaged, "a.gz"); },
                    "its compressed data is damaged (incorrect data check); copy or download the "
                    "file again");
}

TEST(ReadersDigest, gives_the_published_digests) {
  // RFC 1321 A.5 and FIPS 180-2 B.1.
  EXPECT_EQ(digest_hex(DigestKind::md5, bytes_of("")), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(digest_hex(DigestKind::md5, bytes_of("message digest")),
            "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(digest_hex(DigestKind::sha256, bytes_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const test::TemporaryFolder folder;
  const std::string text(3'000'000, 'a');
  test::write_text(folder / "a", text);
  EXPECT_EQ(file_digest_hex(DigestKind::sha256, folder / "a"),
            digest_hex(DigestKind::sha256, bytes_of(text)));
}

// Row 14: verify.
TEST(ReadersDigest, verifies_files_and_their_uncompressed_bytes) {
  const test::TemporaryFolder folder;
  const std::string text = test::reader_baselines()["gzip_text"];
  const auto path = folder / "a.gz";
  test::write_text(path, test::to_text(test::file_of(test::baseline("gzip", "two members"))));
  const std::string of_text = digest_hex(DigestKind::sha256, bytes_of(text));
  verify_file(path, {of_text, true});
  verify_file(path, {file_digest_hex(DigestKind::md5, path), false});
  verify_file(path, {});
  std::string upper = of_text;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  verify_file(path, {upper, true});
  expect_data_error(
      [&] {
        verify_file(path, {of_text, false});
      },
      path.string() + "' is damaged or of another format: its SHA-256 is " +
          file_digest_hex(DigestKind::sha256, path) + ", but " + of_text +
          " was expected; copy or download it again");
  const std::string other(32, '0');
  expect_data_error(
      [&] {
        verify_file(path, {other, true});
      },
      "the MD5 of its uncompressed bytes is " + digest_hex(DigestKind::md5, bytes_of(text)) +
          ", but " + other + " was expected; copy or download it again");
  EXPECT_EQ(test::message_of<ConfigError>([&] {
              verify_file(path, {"abc", false});
            }),
            "checksum = abc: must be 32 hexadecimal digits (an MD5) or 64 (a SHA-256)");
  EXPECT_THROW(verify_file(path, {std::string(32, 'x'), false}), ConfigError);
}

TEST(ReadersBytes, a_source_that_ends_too_soon_says_where_and_what_was_needed) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "a", "12345");
  const FileSource file(folder / "a");
  expect_data_error([&] { file.read(3, 4); },
                    "'" + (folder / "a").string() +
                        "' is damaged or of another format: it ends after 5 bytes, but 4 bytes "
                        "from offset 3 on are needed: it is truncated, or a size written in it is "
                        "wrong; copy or download it again");
  std::filesystem::resize_file(folder / "a", 2);
  expect_data_error([&] { file.read(0, 5); },
                    "can't read '" + (folder / "a").string() +
                        "': it became shorter while it was read; wait until nothing writes to it, "
                        "and start again");
}

}  // namespace levin::readers::idx_test
