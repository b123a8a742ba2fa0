#include "datamodules/stream_support.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <future>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv.h>
#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/readers/text.h>

namespace levin::shards_test {

namespace fs = std::filesystem;
using readers::ShardOptions;
using readers::TargetType;
using test::expect_data_error;
using test::expect_rows;
using test::open_files;
using test::read_all;
using test::write_lvb;
using test::write_text;

void expect_both_ways(const ShardedDataset& dataset, const test::Rows& expected) {
  expect_rows(read_all(dataset, /*ahead=*/true), expected);
  expect_rows(read_all(dataset, /*ahead=*/false), expected);
}

// row 19
TEST(Shards, csv_is_read_with_and_without_names_crlf_and_blank_lines_at_the_end) {
  const test::TemporaryFolder folder;
  const auto rows = test::make_rows(500, 40);  // more than one stretch of the index
  test::write_csv(folder / "a.csv", test::part_of(rows, 0, 300), true, "\r\n");
  test::write_csv(folder / "b.csv", test::part_of(rows, 300, 150), false, "\n", ';');
  test::write_csv(folder / "c.tsv", test::part_of(rows, 450, 50), true, "\n", '\t');
  std::ofstream(folder / "a.csv", std::ios::app) << "\r\n\r\n";
  std::ofstream(folder / "b.csv", std::ios::app) << "\n";
  expect_both_ways(*open_files({folder / "a.csv", folder / "b.csv", folder / "c.tsv"}), rows);
}

TEST(Shards, csv_takes_a_target_by_name_or_number_and_without_a_last_line_end) {
  const test::TemporaryFolder folder;
  write_text(folder / "a.csv", "\xef\xbb\xbf\"label\", x ,y\n2,0.5,-1e3\n0, +3 ,7e-400");
  const test::Rows expected = {torch::tensor({{0.5F, -1000.0F}, {3.0F, 0.0F}}),
                               torch::tensor(std::vector<int64_t>{2, 0})};
  for (const char* column : {"label", "0", "-3"}) {
    expect_both_ways(*open_files({folder / "a.csv"}, {.target_column = column}), expected);
  }
  const auto none = open_files({folder / "a.csv"}, {.target_column = "none"});
  EXPECT_EQ(none->shards().front()->columns().size(), 1U);
  EXPECT_TRUE(torch::equal(read_all(*none, true).input,
                           torch::tensor({{2.0F, 0.5F, -1000.0F}, {0.0F, 3.0F, 0.0F}})));
}

TEST(Shards, whole_targets_are_classes_others_values_in_all_files_alike) {
  const test::TemporaryFolder folder;
  write_text(folder / "a.csv", "1,2\n3,0\n");
  write_text(folder / "b.csv", "5,0.5\n");
  EXPECT_EQ(read_all(*open_files({folder / "a.csv"}), true).target.scalar_type(), at::kLong);
  EXPECT_EQ(read_all(*open_files({folder / "a.csv"}, {.target_type = TargetType::values}), true)
                .target.scalar_type(),
            at::kFloat);
  expect_rows(read_all(*open_files({folder / "a.csv", folder / "b.csv"}), true),
              {torch::tensor({{1.0F}, {3.0F}, {5.0F}}), torch::tensor({2.0F, 0.0F, 0.5F})});
  expect_data_error([&] { open_files({folder / "b.csv"}, {.target_type = TargetType::classes}); },
                    "line 1");
}

TEST(Shards, libsvm_is_read_dense_with_the_width_of_the_widest_file) {
  const test::TemporaryFolder folder;
  const auto rows = test::make_rows(300, 30);
  rows.input.narrow(1, 25, 5).narrow(0, 0, 200).zero_();  // the first file shows 25 features
  test::write_libsvm(folder / "a.libsvm", test::part_of(rows, 0, 200));
  test::write_libsvm(folder / "b.svm", test::part_of(rows, 200, 100));
  expect_both_ways(*open_files({folder / "a.libsvm", folder / "b.svm"}), rows);
  test::write_libsvm(folder / "c.libsvm", rows, 0);
  expect_both_ways(*open_files({folder / "c.libsvm"}, {.num_features = 30, .zero_based = true}),
                   rows);
  write_text(folder / "signs.libsvm", "-1 1:2 # no\n\n+1 2:1e1\n-1\n");
  expect_both_ways(*open_files({folder / "signs.libsvm"}),
                   {torch::tensor({{2.0F, 0.0F}, {0.0F, 10.0F}, {0.0F, 0.0F}}),
                    torch::tensor(std::vector<int64_t>{0, 1, 0})});
  // Where another file has a class 0, -1 isn't it.
  write_text(folder / "zero.libsvm", "0 1:1\n");
  EXPECT_EQ(read_all(*open_files({folder / "signs.libsvm", folder / "zero.libsvm"}), true)
                .target[0]
                .item<int64_t>(),
            -1);
}

TEST(Shards, npy_pairs_and_arrays_with_their_target_in_a_column_are_read_in_place) {
  const test::TemporaryFolder folder;
  const auto rows = test::make_rows(100, 6);
  test::write_npy_of<float>(folder / "x.npy", rows.input);
  test::write_npy_of<int64_t>(folder / "y.npy", rows.target);
  expect_both_ways(*open_files({folder / "x.npy"}, {}, {}, {folder / "y.npy"}), rows);
  const auto labels = rows.target.to(at::kFloat).unsqueeze(1);
  test::write_npy_of<float>(folder / "last.npy", torch::cat({rows.input, labels}, 1));
  test::write_npy_of<float>(folder / "first.npy", torch::cat({labels, rows.input}, 1));
  expect_both_ways(*open_files({folder / "last.npy"}, {.target_type = TargetType::classes}), rows);
  expect_both_ways(*open_files({folder / "first.npy"},
                               {.target_column = "0", .target_type = TargetType::classes}),
                   rows);
  // Other types: doubles and small integers become float32, unsigned labels int64.
  test::write_npy_of<double>(folder / "x64.npy", rows.input.to(at::kDouble));
  test::write_npy_of<uint8_t>(folder / "y8.npy", rows.target.to(at::kByte));
  expect_both_ways(*open_files({folder / "x64.npy"}, {}, {}, {folder / "y8.npy"}), rows);
  expect_data_error(
      [&] {
        read_all(*open_files({folder / "x.npy"}, {.target_type = TargetType::classes}), true);
      },
      "whole");
}

TEST(Shards, bytes_stay_bytes_or_are_scaled) {
  const test::TemporaryFolder folder;
  const auto pixels = torch::arange(256, at::kInt).to(at::kByte).reshape({4, 8, 8});
  test::write_npy_of<uint8_t>(folder / "x.npy", pixels);
  test::write_npy_of<int64_t>(folder / "y.npy", torch::arange(4));
  const auto plain = read_all(*open_files({folder / "x.npy"}, {}, {}, {folder / "y.npy"}), true);
  EXPECT_TRUE(torch::equal(plain.input, pixels));
  const auto scaled = read_all(
      *open_files({folder / "x.npy"}, {}, {.scale = 1.0 / 255.0}, {folder / "y.npy"}), false);
  EXPECT_EQ(scaled.input.scalar_type(), at::kFloat);
  EXPECT_TRUE(torch::allclose(scaled.input, pixels.to(at::kFloat) / 255.0, 0.0, 1e-7));
}

TEST(Shards, rows_read_past_the_page_cache_are_the_same) {
  const test::TemporaryFolder folder;
  const auto rows = test::make_rows(3001, 783);  // 9.6 MB: three blocks, none on a page's edge
  write_lvb(folder / "a.lvb", test::part_of(rows, 0, 3000));
  write_lvb(folder / "b.lvb", test::part_of(rows, 3000, 1));
  for (const bool page_cache : {true, false}) {
    const auto dataset =
        open_files({folder / "a.lvb", folder / "b.lvb"}, {}, {.page_cache = page_cache});
    EXPECT_EQ(dataset->table().blocks(), 4);
    expect_both_ways(*dataset, rows);
  }
}

TEST(Shards, every_changed_byte_of_a_header_and_every_cut_of_a_file_is_an_error) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "whole.lvb", test::make_rows(5, 3));
  const auto file = test::to_bytes(test::read_file(folder / "whole.lvb"));
  const size_t header = readers::parse_lvb_header(file, "whole").size;
  for (size_t at = 0; at < header; ++at) {
    auto changed = file;
    changed[at] ^= std::byte{0x10};
    EXPECT_THROW(readers::parse_lvb_header(changed, "changed"), DataError) << at;
  }
  for (size_t size = 0; size < file.size(); ++size) {
    const std::span<const std::byte> cut(file.data(), size);
    EXPECT_THROW(readers::parse_lvb_header(cut, "cut"), DataError) << size;
  }
  write_text(folder / "cut.lvb", test::to_text(std::span(file).first(file.size() - 1)));
  expect_data_error([&] { open_files({folder / "cut.lvb"}); }, "cut.lvb' is damaged");
}

TEST(Shards, a_header_with_two_columns_of_one_name_is_damaged) {
  using readers::DType;
  const auto header = readers::lvb_layout({{"x", DType::uint8, {8}}, {"x", DType::uint8, {8}}}, 0);
  const auto bytes = test::to_bytes(readers::lvb_header(header));
  expect_data_error([&] { readers::parse_lvb_header(bytes, "twice.lvb"); }, "comes twice");
}

TEST(Shards, damaged_text_is_an_error_that_names_file_and_line) {
  const test::TemporaryFolder folder;
  const auto expect = [&](const char* name, const char* text, const char* part) {
    write_text(folder / name, text);
    expect_data_error([&] { read_all(*open_files({folder / name}), true); }, name);
    expect_data_error([&] { read_all(*open_files({folder / name}), true); }, part);
    expect_data_error([&] { read_all(*open_files({folder / name}), false); }, part);
  };
  expect("width.csv", "1,2,0\n1,0\n", "line 2 has 2 cells");
  expect("cell.csv", "1,2,0\n1,two,0\n", "'two'");
  expect("nan.csv", "1,2,0\n1,nan,0\n", "line 2, column 2");
  expect("missing.csv", "1,2,0\n1,,0\n", "line 2, column 2");
  expect("empty.csv", "", "empty");
  expect("header.csv", "a,b,c\n", "empty");
  expect("pair.libsvm", "0 1:2\n1 3\n", "line 2");
  expect("zero.libsvm", "0 1:2\n1 0:1\n", "zero_based");
  expect("order.libsvm", "0 5:1 3:1\n", "rise");
  expect("label.libsvm", "yes 1:2\n", "'yes'");
  expect("float.csv", "1,2,0\n1,1e39,0\n", "float32");
  expect("least.libsvm", "0 1:2\n1 -9223372036854775808:1\n", "zero_based");
  expect("index.libsvm", "0 1:2\n1 999999999999:1\n", "16777216 features");
  write_text(folder / "wide.libsvm", "0 1:2\n1 9:1\n");
  expect_data_error([&] { open_files({folder / "wide.libsvm"}, {.num_features = 8}); },
                    "num_features = 8");
  EXPECT_THROW(open_files({folder / "pair.libsvm"}, {.num_features = -1}), ConfigError);
}

TEST(Shards, arrays_that_cannot_be_read_in_place_are_refused) {
  const test::TemporaryFolder folder;
  test::write_npy_of<float>(folder / "x.npy", torch::zeros({4, 3}));
  test::write_npy_of<int64_t>(folder / "y.npy", torch::zeros({5}, at::kLong));
  expect_data_error([&] { open_files({folder / "x.npy"}, {}, {}, {folder / "y.npy"}); },
                    "y.npy' has 5");
  expect_data_error([&] { open_files({folder / "x.npy"}, {.target_column = "1"}); }, "first");
  std::string text = test::read_file(folder / "x.npy");
  write_text(folder / "cut.npy", text.substr(0, text.size() - 4));
  expect_data_error([&] { open_files({folder / "cut.npy"}); }, "truncated");
  text.replace(text.find("False"), 5, "True ");
  write_text(folder / "columns.npy", text);
  expect_data_error([&] { open_files({folder / "columns.npy"}); }, "Fortran");
}

TEST(Shards, files_that_do_not_fit_together_are_refused_by_name) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "a.lvb", test::make_rows(5, 3));
  write_lvb(folder / "b.lvb", test::make_rows(5, 4));
  expect_data_error(
      [&] {
        open_files({folder / "a.lvb", folder / "b.lvb"});
      },
      "b.lvb; all files must have the same; " + (folder / "a.lvb").string());
  write_lvb(folder / "none.lvb", test::make_rows(0, 3));
  expect_data_error([&] { open_files({folder / "none.lvb"}); }, "none.lvb is empty");
  write_text(folder / "foreign.lvb", "PK\x03\x04 something else");
  expect_data_error([&] { open_files({folder / "foreign.lvb"}); }, "foreign.lvb");
  EXPECT_THROW(open_files({folder / "a.lvb"}, {}, {}, {folder / "y.npy"}), ConfigError);
  write_text(folder / "a.csv", "1,2,0\n");
  write_text(folder / "b.csv", "1,0\n");
  expect_data_error([&] { open_files({folder / "a.csv", folder / "b.csv"}); }, "b.csv");
  expect_data_error([&] { open_files({folder / "gone.csv"}); }, "gone.csv");
  write_text(folder / "what.bin", "1");
  expect_data_error([&] { open_files({folder / "what.bin"}); }, "what.bin");
  EXPECT_THROW(open_files({folder / "a.csv"}, {.format = "cvs"}), ConfigError);
}

TEST(Shards, a_file_that_changes_while_it_is_streamed_is_an_error) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "a.lvb", test::make_rows(50, 3));
  const auto dataset = open_files({folder / "a.lvb"});
  fs::resize_file(folder / "a.lvb", 500);
  expect_data_error([&] { read_all(*dataset, /*ahead=*/true); }, "changed while it was read");
  write_text(folder / "a.csv", "1,0\n2,1\n");
  const auto text = open_files({folder / "a.csv"});
  write_text(folder / "a.csv", "1,0\n");
  expect_data_error([&] { read_all(*text, /*ahead=*/true); }, "changed while it was read");
}

TEST(Shards, files_are_found_by_path_folder_and_pattern_in_order_of_their_names) {
  const test::TemporaryFolder folder;
  std::error_code ignored;
  fs::create_directory(folder / "sub", ignored);
  for (const char* name : {"b.csv", "a.csv", ".hidden.csv", "c.npy", "sub/d.csv"}) {
    write_text(folder / name, "1,0\n");
  }
  using Files = std::vector<fs::path>;
  const std::string root = folder.path().string();
  EXPECT_EQ(readers::find_files({root}),
            (Files{folder / "a.csv", folder / "b.csv", folder / "c.npy"}));
  EXPECT_EQ(readers::find_files({root + "/*.csv", root + "/sub"}),
            (Files{folder / "a.csv", folder / "b.csv", folder / "sub/d.csv"}));
  expect_data_error([&] { readers::find_files({root + "/*.lvb"}); }, "no file matches");
}

TEST(Shards, what_is_no_file_is_an_error_not_a_wait) {
  const test::TemporaryFolder folder;
  const auto pipe = folder / "a.lvb";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const bool mapped : {true, false}) {
    auto opened = std::async(std::launch::async, [&] {
      expect_data_error(
          [&] { mapped ? void(readers::MappedFile(pipe)) : void(readers::FileSource(pipe)); },
          "no regular file");
    });
    if (opened.wait_for(std::chrono::seconds(10)) == std::future_status::timeout) {
      ADD_FAILURE() << "opening a pipe waits for a writer";
      ::close(::open(pipe.c_str(), O_WRONLY | O_NONBLOCK));
    }
  }
  expect_data_error([&] { open_files({""}); }, "can't read ''");
  expect_data_error([&] { open_files({std::string(5000, 'a') + ".lvb"}); }, "name too long");
}

TEST(Shards, a_folder_that_cannot_be_read_is_an_error_that_says_why) {
  const test::TemporaryFolder folder;
  write_text(folder / "a.csv", "1,0\n");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};  // so that no folder can be opened
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string message;
  try {
    readers::find_files({folder.path().string()});
  } catch (const DataError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NE(message.find("Too many open files"), std::string::npos) << message;
}

TEST(Shards, what_one_set_shows_is_settled_for_the_others) {
  const test::TemporaryFolder folder;
  const auto settled = [&](const char* name, const char* text, const ShardOptions& options = {}) {
    write_text(folder / name, text);
    return readers::settled(options, readers::open_shards({folder / name}, {}, options));
  };
  EXPECT_EQ(settled("a.csv", "1,2\n").target_type, TargetType::classes);
  EXPECT_EQ(settled("a.csv", "1,2.5\n").target_type, TargetType::values);
  EXPECT_EQ(settled("a.csv", "1,2\n", {.target_type = TargetType::values}).target_type,
            TargetType::values);
  EXPECT_EQ(settled("a.csv", "1,2\n", {.target_column = "none"}).target_type,
            TargetType::automatic);
  EXPECT_TRUE(settled("a.libsvm", "0 5:1\n").keep_signs);
  EXPECT_FALSE(settled("a.libsvm", "-1 5:1\n").keep_signs);
  EXPECT_EQ(settled("a.libsvm", "-1 5:1\n").num_features, 5);
  EXPECT_EQ(settled("a.libsvm", "-1 5:1\n", {.num_features = 9}).num_features, 9);
}

TEST(ParseNumber, takes_what_is_too_small_for_0_and_refuses_what_is_too_large) {
  const std::string zeros(400, '0');
  const std::vector<std::string> small = {"1e-400",
                                          "-1e-999",
                                          "1" + zeros + "e-800",
                                          "0." + zeros + "1",
                                          "0." + zeros + "1e+5",
                                          "1e-99999999999999999999"};
  for (const auto& text : small) {
    double value = -1.0;
    EXPECT_TRUE(readers::parse_number(text, value)) << text;
    EXPECT_EQ(value, 0.0) << text;
  }
  const std::vector<std::string> large = {"1" + zeros, "1" + zeros + "e-10",
                                          "-1" + zeros + ".5E-50", "0." + zeros + "1e+900",
                                          "1e99999999999999999999"};
  for (const auto& text : large) {
    double value = 0.0;
    EXPECT_FALSE(readers::parse_number(text, value)) << text;
    expect_data_error([&] { readers::parse_csv("1\n" + text + "\n", "a.csv"); }, "line 2");
  }
}

TEST(ParseNumber, gives_the_double_that_strtod_gives) {
  for (const char* text : {"0", "-0", "1", "-12.5", "0.1", "123456789012345", "1234567890123456789",
                           "0.123456789012345", "3.14159265358979", "1e10", "-2.5E-3", "5.", ".5",
                           "0.30000000000000004", "1e-320", "999999999999999.9"}) {
    double value = -1.0;
    ASSERT_TRUE(readers::parse_number(text, value)) << text;
    EXPECT_EQ(value, std::strtod(text, nullptr)) << text;
  }
  double value = 0.0;
  for (const char* text :
       {"", " ", "-", ".", "1.2.3", "1,5", "abc", "1e999", "0x10", "+-1", "--1"}) {
    EXPECT_FALSE(readers::parse_number(text, value)) << text;
  }
}

}  // namespace levin::shards_test
