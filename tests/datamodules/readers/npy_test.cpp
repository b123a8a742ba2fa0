#include <levin/datamodules/readers/npy.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/zip.h>
#include <levin/framework/core/files.h>

#include "datamodules/readers/support.h"

namespace levin::readers::npy_test {

using test::expect_data_error;
using test::expect_equal;

TEST(ReadersNpy, reads_what_numpy_saved_in_every_type_order_and_version) {
  for (const auto& item : test::reader_baselines()["npy"]) {
    SCOPED_TRACE(item["name"]);
    expect_equal(parse_npy(test::file_of(item), "a.npy"), item);
  }
}

TEST(ReadersNpy, reads_the_same_from_a_file) {
  const test::TemporaryFolder folder;
  for (const auto& item : test::reader_baselines()["npy"]) {
    SCOPED_TRACE(item["name"]);
    test::write_text(folder / "a.npy", test::to_text(test::file_of(item)));
    expect_equal(read_npy(folder / "a.npy"), item);
  }
}

TEST(ReadersNpy, writes_the_bytes_numpy_saves) {
  const test::TemporaryFolder folder;
  size_t compared = 0;
  for (const auto& item : test::reader_baselines()["npy"]) {
    const std::string name = item["name"];
    if (name.find("order") != name.npos || name.find("endian") != name.npos ||
        name.find("version") != name.npos) {
      continue;  // the same elements in a form that isn't written
    }
    SCOPED_TRACE(name);
    write_npy(folder / "out.npy", parse_npy(test::file_of(item), name));
    EXPECT_EQ(test::to_hex(read_file(folder / "out.npy")), item["file"].get<std::string>());
    ++compared;
  }
  EXPECT_GE(compared, 15u);
}

TEST(ReadersNpy, gives_typed_elements_and_refuses_another_type) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Array array = Array::of<float>({2, 3}, values);
  EXPECT_EQ(array.size(), 6);
  EXPECT_EQ(array.values<float>()[4], 5.0f);
  expect_data_error([&] { array.values<double>(); },
                    "Array::values: the elements are float32, but float64 was asked for; nothing "
                    "is converted, so ask for the C++ type of float32");
  const Array half = {{1}, DType::float16, Bytes(2)};
  expect_data_error([&] { half.values<float>(); },
                    "Array::values: the elements are float16, but float32 was asked for; float16 "
                    "has no C++ type here, so use Array::bytes");
  expect_data_error(
      [&] {
        Array::of<float>({2, 4}, values);
      },
      "Array::of: 6 values can't fill the shape [2, 4], which takes 8; give as many "
      "values as the product of the sizes");
  expect_data_error(
      [&] {
        Array::of<float>({-2, 3}, values);
      },
      "Array::of: 6 values can't fill the shape [-2, 3]; give as many");
}

TEST(ReadersNpy, reads_any_nonzero_byte_as_true) {
  Bytes file = test::file_of(test::baseline("npy", "bool"));
  file.back() = std::byte{7};
  EXPECT_EQ(parse_npy(file, "a.npy").bytes.back(), std::byte{1});
}

TEST(ReadersNpy, refuses_objects_texts_records_and_complex_numbers) {
  for (const auto& item : test::reader_baselines()["npy_refused"]) {
    SCOPED_TRACE(item["name"]);
    expect_data_error([&] { parse_npy(test::file_of(item), "refused.npy"); }, "refused.npy");
  }
  expect_data_error(
      [] { parse_npy(test::file_of(test::baseline("npy_refused", "object")), "a.npy"); },
      "a.npy: the element type is '|O'; Python objects are never loaded. Save array.astype(float) "
      "or array.astype(int).");
  expect_data_error(
      [] { parse_npy(test::file_of(test::baseline("npy_refused", "complex64")), "a.npy"); },
      "a.npy: the element type is '<c8'; it must be bool, an integer of 8 to 64 bits or a float of "
      "16 to 64 bits. Convert the array with array.astype before saving it.");
  expect_data_error(
      [] { parse_npy(test::file_of(test::baseline("npy_refused", "record")), "a.npy"); },
      "a.npy: it is a structured array, with fields, which isn't read; save each field as an array "
      "of its own");
}

TEST(ReadersNpy, refuses_anything_but_the_exact_length) {
  const Bytes file = test::file_of(test::baseline("npy", "float64"));
  Bytes longer = file;
  longer.push_back(std::byte{0});
  expect_data_error([&] { parse_npy(longer, "a.npy"); },
                    "which takes 48 bytes, but is followed by 49: something was appended to it; "
                    "copy or download it again");
  const Bytes shorter(file.begin(), file.end() - 1);
  expect_data_error([&] { parse_npy(shorter, "a.npy"); },
                    "'a.npy' is damaged or of another format: its header says float64 [2, 3], "
                    "which takes 48 bytes, but is followed by 47: it is truncated; copy or "
                    "download it again");
}

TEST(ReadersNpy, says_where_a_file_ends_and_which_versions_it_reads) {
  const auto refuses = [](std::string_view file, std::string_view part) {
    expect_data_error([&] { parse_npy(test::to_bytes(file), "a.npy"); }, part);
  };
  refuses("PK",
          "'a.npy' is damaged or of another format: it isn't a .npy file, which starts with the "
          "byte 0x93 and the letters NUMPY; check that it is the right file");
  refuses("\x93NUMPY", "it ends after 6 bytes, inside its header; copy or download it again");
  refuses(std::string_view("\x93NUMPY\x01\x00", 8), "it ends after 8 bytes, inside its header");
  refuses(std::string_view("\x93NUMPY\x01\x00\x76\x00{", 11), "it ends after 11 bytes, inside its");
  refuses(std::string_view("\x93NUMPY\x04\x01", 8),
          "its version of the .npy format is 4.1, but must be 1.0, 2.0 or 3.0; save the array "
          "again with numpy.save");
  refuses(std::string_view("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12),
          "it says that its header has 4294967295 bytes, but at most 1048564 are read; save the "
          "array again with numpy.save");
}

Bytes with_header(const std::string& header) {
  return test::to_bytes(std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) +
                        '\0' + header);
}

TEST(ReadersNpy, refuses_headers_that_numpy_would_not_write) {
  const auto refuses = [](const std::string& header, std::string_view part) {
    SCOPED_TRACE(header);
    expect_data_error([&] { parse_npy(with_header(header), "a.npy"); }, part);
  };
  refuses(
      "",
      "'a.npy' is damaged or of another format: in its header, '{' was expected, but the header "
      "ended; save the array again with numpy.save");
  refuses("{'fortran_order': False, 'shape': ()}", "the key 'descr' is missing;");
  refuses("{'descr': '<f4', 'shape': ()}", "the key 'fortran_order' is missing;");
  refuses("{'descr': '<f4', 'fortran_order': False}", "the key 'shape' is missing;");
  refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}",
          "the key 'x' is unknown;");
  refuses("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
          "the end was expected, but 'x' was found;");
  refuses("{'descr': '<f4' 'shape': ()}", "'}' was expected, but ''shape': ()}' was found;");
  refuses("{'descr': '<f4', 'descr': '<f4', 'shape': ()}", "the key 'descr' comes twice;");
  refuses("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
          "True or False for fortran_order was expected, but '0, 'shape': ()}' was found;");
  refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
          "a size from 0 to 2^63 - 1 was expected, but '-1,)}' was found;");
  refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
          "a size from 0 to 2^63 - 1 was expected, but '99999999999999999999' was found;");
  refuses("{'shape': (2 3)}", "')' was expected, but '3)}' was found;");
  std::string sizes;
  for (int i = 0; i < 65; ++i) sizes += "1,";
  refuses("{'shape': (" + sizes + ")}", "the shape has more than 64 sizes;");
  refuses(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
      "its header says float32 [4611686018427387904, 4], which takes more bytes than a file can "
      "have, but is followed by 0: its header is damaged; copy or download it again");
  refuses("{'descr': '<f3', 'fortran_order': False, 'shape': ()}",
          "a.npy: the element type is '<f3'; it must be bool, an integer");
  refuses("{'descr': '<f4", "a text in quotes was expected, but ''<f4' was found;");
}

TEST(ReadersNpy, reads_a_header_of_python_2) {
  Bytes file = with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 1L)}");
  file.resize(file.size() + 2);
  EXPECT_EQ(parse_npy(file, "a.npy").shape, (std::vector<int64_t>{2, 1}));
}

TEST(ReadersNpy, names_a_missing_file_and_a_folder) {
  const test::TemporaryFolder folder;
  expect_data_error([&] { read_npy(folder / "missing.npy"); },
                    "can't read '" + (folder / "missing.npy").string() + "': No such file");
  expect_data_error([&] { read_npy(folder.path()); },
                    "can't read '" + folder.string() +
                        "': it is a folder, but a file is needed; name a file in it");
}

TEST(ReadersNpy, survives_every_changed_byte) {
  for (const char* name : {"float32", "Fortran order, three sizes", "version 2.0"}) {
    SCOPED_TRACE(name);
    const size_t refused = test::refused_mutations(
        test::file_of(test::baseline("npy", name)), [](const Bytes& changed, const std::string&) {
          const Array array = parse_npy(changed, "a.npy");
          return byte_count(array.shape, array.dtype) == array.bytes.size();
        });
    EXPECT_GT(refused, 300u);
  }
}

TEST(ReadersNpz, reads_what_numpy_and_zipfile_wrote) {
  for (const auto& item : test::reader_baselines()["npz"]) {
    SCOPED_TRACE(item["name"]);
    const auto arrays = parse_npz(test::file_of(item), "a.npz");
    ASSERT_EQ(arrays.size(), item["arrays"].size());
    for (size_t i = 0; i < arrays.size(); ++i) {
      EXPECT_EQ(arrays[i].name, item["arrays"][i]["name"].get<std::string>());
      expect_equal(arrays[i].array, item["arrays"][i]);
    }
  }
}

TEST(ReadersNpz, lists_the_names_and_reads_one_array_of_a_file) {
  const test::TemporaryFolder folder;
  const auto& item = test::baseline("npz", "deflate");
  test::write_text(folder / "a.npz", test::to_text(test::file_of(item)));
  EXPECT_EQ(npz_names(folder / "a.npz"), (std::vector<std::string>{"x", "y", "größe"}));
  expect_equal(read_npz(folder / "a.npz", "y"), item["arrays"][1]);
  EXPECT_EQ(read_npz(folder / "a.npz").size(), 3u);
  expect_data_error([&] { read_npz(folder / "a.npz", "z"); },
                    "can't read '" + (folder / "a.npz").string() +
                        "': it has no array 'z'; the arrays it has are 'x', 'y', 'größe'");
  const Bytes bytes(3, std::byte{1});
  std::vector<ZipMember> members;
  members.push_back({"readme", {bytes}});
  write_zip(folder / "none.npz", members);
  expect_data_error([&] { read_npz(folder / "none.npz", "z"); },
                    "it has no array 'z', nor any other; write it with numpy.savez");
}

TEST(ReadersNpz, reads_back_what_it_writes_and_writes_the_same_bytes_again) {
  const test::TemporaryFolder folder;
  const std::vector<double> values = {1.5, -2, 0, 1e-300};
  const std::vector<int64_t> labels = {3, std::numeric_limits<int64_t>::min()};
  const std::vector<NamedArray> arrays = {{"values", Array::of<double>({2, 2}, values)},
                                          {"labels", Array::of<int64_t>({2}, labels)},
                                          {"none", Array::of<float>({0, 5}, {})}};
  write_npz(folder / "a.npz", arrays);
  write_npz(folder / "b.npz", arrays);
  EXPECT_EQ(test::read_file(folder / "a.npz"), test::read_file(folder / "b.npz"));
  const auto read = read_npz(folder / "a.npz");
  ASSERT_EQ(read.size(), arrays.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, arrays[i].name);
    EXPECT_EQ(read[i].array.shape, arrays[i].array.shape);
    EXPECT_EQ(read[i].array.dtype, arrays[i].array.dtype);
    EXPECT_EQ(test::to_hex(read[i].array.bytes), test::to_hex(arrays[i].array.bytes));
  }
}

TEST(ReadersNpz, an_archive_of_no_arrays_is_written_and_read) {
  const test::TemporaryFolder folder;
  write_npz(folder / "new/a.npz", {});
  EXPECT_TRUE(read_npz(folder / "new/a.npz").empty());
  EXPECT_EQ(test::read_file(folder / "new/a.npz"), "PK\x05\x06" + std::string(18, '\0'));
}

TEST(ReadersNpz, writes_more_files_than_fit_without_zip64_and_reads_them) {
  const test::TemporaryFolder folder;
  const Bytes bytes(3, std::byte{1});
  std::vector<ZipMember> members;
  for (int i = 0; i < 65'600; ++i) members.push_back({std::to_string(i), {bytes}});
  write_zip(folder / "a.zip", members);
  const ZipArchive archive(folder / "a.zip");
  ASSERT_EQ(archive.entries().size(), members.size());
  EXPECT_EQ(archive.entries().back().name, members.back().name);
  EXPECT_EQ(archive.read(archive.entries().back()), bytes);
  // The end record of zip64 is there.
  EXPECT_NE(test::read_file(folder / "a.zip").find("PK\x06\x06"), std::string::npos);
}

TEST(ReadersNpz, writes_the_same_bytes_in_every_time_zone) {
  const test::TemporaryFolder folder;
  const std::vector<NamedArray> arrays = {{"x", Array::of<float>({0, 5}, {})}};
  const char* const known = std::getenv("TZ");
  const std::string before = known == nullptr ? "" : known;
  std::set<std::string> written;
  for (const char* zone : {"UTC0", "EST5EDT", "NZST-12NZDT"}) {
    ::setenv("TZ", zone, 1);
    write_npz(folder / "a.npz", arrays);
    written.insert(test::read_file(folder / "a.npz"));
  }
  known == nullptr ? ::unsetenv("TZ") : ::setenv("TZ", before.c_str(), 1);
  EXPECT_EQ(written.size(), 1u);
}

TEST(ReadersNpz, leaves_nothing_behind_if_it_cannot_write) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a.npz");
  const std::vector<NamedArray> arrays = {{"x", Array::of<float>({0, 5}, {})}};
  EXPECT_THROW(write_npz(folder / "a.npz", arrays), CheckpointError);
  files::inject_faults(
      [](const files::Operation& operation) { return operation.name == "sync" ? ENOSPC : 0; });
  EXPECT_THROW(write_npz(folder / "b.npz", arrays), CheckpointError);
  files::inject_faults({});
  size_t left = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    ++left;
  }
  EXPECT_EQ(left, 1u);
}

TEST(ReadersNpz, gives_the_right_arrays_or_an_error_for_every_changed_byte) {
  for (const auto& item : test::reader_baselines()["npz"]) {
    SCOPED_TRACE(item["name"]);
    const Bytes file = test::file_of(item);
    const auto right = parse_npz(file, "a.npz");
    const size_t refused =
        test::refused_mutations(file, [&](const Bytes& changed, const std::string&) {
          const auto arrays = parse_npz(changed, "a.npz");
          if (arrays.size() != right.size()) return false;
          for (size_t i = 0; i < arrays.size(); ++i) {
            if (arrays[i].name != right[i].name || arrays[i].array.shape != right[i].array.shape ||
                arrays[i].array.dtype != right[i].array.dtype ||
                arrays[i].array.bytes != right[i].array.bytes) {
              return false;
            }
          }
          return true;
        });
    EXPECT_GT(refused, file.size());
  }
}

/// `file` with `value` at `offset` bytes behind the first `signature`.
Bytes with_patch(const Bytes& file, std::string_view signature, size_t offset,
                 std::string_view value) {
  std::string text = test::to_text(file);
  text.replace(text.find(signature) + offset, value.size(), value);
  return test::to_bytes(text);
}

constexpr std::string_view kLocalHeader = "PK\x03\x04";
constexpr std::string_view kDirectoryEntry = "PK\x01\x02";

TEST(ReadersNpz, refuses_encrypted_entries_and_unknown_compression) {
  // New versions of libzip know that a stored entry would be longer if it were encrypted.
  const Bytes deflated = test::file_of(test::baseline("npz", "deflate"));
  Bytes changed = with_patch(deflated, kLocalHeader, 6, "\x01");
  changed = with_patch(changed, kDirectoryEntry, 8, "\x01");
  expect_data_error([&] { parse_npz(changed, "a.npz"); },
                    "'x.npy' is encrypted; write the archive without a password");
  const Bytes file = test::file_of(test::baseline("npz", "stored"));
  changed = with_patch(file, kLocalHeader, 8, "\x0e");
  changed = with_patch(changed, kDirectoryEntry, 10, "\x0e");
  expect_data_error([&] { parse_npz(changed, "a.npz"); },
                    "'x.npy' is compressed by method 14, but must be stored (0) or deflated (8); "
                    "write it with numpy.savez or numpy.savez_compressed");
}

TEST(ReadersNpz, refuses_a_size_that_compressed_data_cannot_have) {
  const Bytes file = test::file_of(test::baseline("npz", "deflate"));
  constexpr size_t kZip64Size =
      30 + 5 + 4;  // behind the fixed fields, "x.npy" and the field's head
  Bytes changed = with_patch(file, kLocalHeader, kZip64Size, "\xff\xff\xff\x7f");
  changed = with_patch(changed, kDirectoryEntry, 24, "\xff\xff\xff\x7f");
  expect_data_error([&] { parse_npz(changed, "a.npz"); },
                    "'a.npz' is damaged or of another format: its directory says that 'x.npy' has "
                    "2147483647 bytes, which can't come from ");
}

TEST(ReadersNpz, refuses_two_files_of_one_name_and_bytes_around_the_archive) {
  const std::string text = test::to_text(test::file_of(test::baseline("npz", "stored")));
  std::string twice = text;
  for (size_t at = twice.find("y.npy"); at != twice.npos; at = twice.find("y.npy")) twice[at] = 'x';
  expect_data_error([&] { parse_npz(test::to_bytes(twice), "a.npz"); },
                    "two of its files have the same name; rename one of them");
  expect_data_error([&] { parse_npz(test::to_bytes("x" + text), "a.npz"); }, "a.npz");
  expect_data_error([&] { parse_npz(test::to_bytes(text + "x"), "a.npz"); }, "a.npz");
}

TEST(ReadersNpz, names_a_wrong_checksum_and_the_file_it_is_in) {
  std::string text = test::to_text(test::file_of(test::baseline("npz", "stored")));
  text[text.find("NUMPY") + 140] ^= 1;  // an element of x
  const test::TemporaryFolder folder;
  test::write_text(folder / "a.npz", text);
  expect_data_error([&] { read_npz(folder / "a.npz"); }, "a.npz");
  expect_data_error([&] { read_npz(folder / "a.npz"); },
                    "the checksum (CRC-32) of 'x.npy' is wrong; copy or write the file again");
  test::write_text(folder / "cut.npz", text.substr(0, text.size() - 30));
  expect_data_error([&] { read_npz(folder / "cut.npz"); }, "truncated");
  test::write_text(folder / "empty.npz", "");
  expect_data_error([&] { read_npz(folder / "empty.npz"); },
                    "it isn't a zip file, or it is truncated: the directory at its end is missing; "
                    "copy or write the file again");
  expect_data_error([&] { read_npz(folder / "missing.npz"); }, "missing.npz");
  expect_data_error([&] { read_npz(folder.path()); }, "it is a folder");
}

TEST(ReadersNpz, refuses_what_is_no_zip_file) {
  expect_data_error([] { parse_npz(test::to_bytes("short"), "a.npz"); }, "it isn't a zip file");
  expect_data_error([] { parse_npz(Bytes(1000), "a.npz"); }, "it isn't a zip file");
}

TEST(ReadersNpz, refuses_a_directory_that_counts_wrong_and_one_part_of_several) {
  const Bytes file = test::file_of(test::baseline("npz", "stored"));
  Bytes changed = file;  // both counts in the end record, which is 22 bytes long
  changed[file.size() - 14] = changed[file.size() - 12] = std::byte{2};
  expect_data_error([&] { parse_npz(changed, "a.npz"); }, "its directory is damaged");
  changed = file;  // the numbers of this part and of the one in which the directory begins
  changed[file.size() - 18] = changed[file.size() - 16] = std::byte{1};
  expect_data_error([&] { parse_npz(changed, "a.npz"); },
                    "it is only a part of an archive; join all parts into one file");
}

}  // namespace levin::readers::npy_test
