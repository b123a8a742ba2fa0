#include "datamodules/stream_support.h"
#include "framework/message_of.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <future>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv.h>
#include <levin/datamodules/readers/csv_columns.h>
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
                    (folder / "b.csv").string() +
                        ", line 1: the target isn't a whole number from -2^53 to 2^53, which a "
                        "class must be; if targets aren't classes, set target_type = value");
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
  expect_data_error([&] { open_files({folder / "cut.lvb"}); },
                    "cut.lvb' is damaged or of another format: it has " +
                        std::to_string(file.size() - 1) + " bytes, but its header says " +
                        std::to_string(file.size()) +
                        ": it is truncated; copy it again, or make it again with levin convert");
}

TEST(Shards, a_header_with_two_columns_of_one_name_is_damaged) {
  using readers::DType;
  const auto header = readers::lvb_layout({{"x", DType::uint8, {8}}, {"x", DType::uint8, {8}}}, 0);
  const auto bytes = test::to_bytes(readers::lvb_header(header));
  expect_data_error([&] { readers::parse_lvb_header(bytes, "twice.lvb"); },
                    "'twice.lvb' is damaged or of another format: more than one column has the "
                    "name 'x'; copy it again");
}

/// Expects that a file of `text` is refused, read ahead or not, by its name and `message`.
void expect_refused(const fs::path& path, const char* text, const std::string& message,
                    const ShardOptions& options = {}) {
  write_text(path, text);
  for (const bool ahead : {true, false}) {
    expect_data_error([&] { read_all(*open_files({path}, options), ahead); },
                      path.string() + message);
  }
}

TEST(Shards, damaged_csv_is_an_error_that_names_file_and_line) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.csv";
  expect_refused(path, "1,2,0\n1,0\n",
                 ", line 2: the row has 2 cells, but the first line has 3; every row must have as "
                 "many. Fill in the missing cells.");
  expect_refused(path, "1,2,0\n1,two,0\n",
                 ", line 2, column 2 (column_1): the cell is 'two'; every cell must be a finite "
                 "number that a float32 can hold. Write such a number instead.");
  expect_refused(path, "1,2,0\n1,nan,0\n", ", line 2, column 2 (column_1): the cell is 'nan';");
  expect_refused(path, "1,2,0\n1,1e39,0\n", ", line 2, column 2 (column_1): the cell is '1e39';");
  expect_refused(path, "1,2,0\n1,,0\n",
                 ", line 2, column 2 (column_1): the cell is empty; every cell must be a number. "
                 "Fill in the missing value.");
  expect_refused(path, "", " is empty; add at least one row");
  expect_refused(path, "a,b,c\n", " has a header, but no rows; add at least one row");
  expect_refused(path, "1\n2\n",
                 " has only one column, the target; add at least one column of features, or set "
                 "target_column = none. Cells must be separated by commas, semicolons or tabs.");
  expect_refused(path, "a,b\n1,ant\n",
                 ", line 2, column 2 (b): the cell is 'ant'; every cell must be a finite number "
                 "that a float32 can hold. Write such a number instead. Only ArrayDataModule takes "
                 "texts, the names of classes, for targets, and only if all are texts.");
}

TEST(Shards, damaged_libsvm_is_an_error_that_names_file_and_line) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.libsvm";
  expect_refused(path, "0 1:2\n1 3\n",
                 ", line 2: found '3'; a feature must be index:value, such as 3:0.5, with a finite "
                 "value that a float32 can hold");
  expect_refused(path, "0 1:2\n1 0:1\n",
                 ", line 2: found '0:1'; an index must be at least 1. If the file numbers features "
                 "from 0, set zero_based = true.");
  expect_refused(path, "0 1:2\n1 -9223372036854775808:1\n",
                 ", line 2: found '-9223372036854775808:1'; an index must be at least 1.");
  expect_refused(path, "0 -1:2\n",
                 ", line 1: found '-1:2'; an index must be at least 0, because zero_based is true",
                 {.zero_based = true});
  expect_refused(path, "0 5:1 3:1\n",
                 ", line 1: found '5:1' before a lower index; indices must rise along a line. Sort "
                 "the features of each line.");
  expect_refused(path, "0 5:1 3:1 9:1\n", ", line 1: found '3:1' after index 5; indices must rise");
  expect_refused(path, "yes 1:2\n",
                 ", line 1: the target is 'yes'; the first word of a line must be a finite number "
                 "that a float32 can hold. Write classes as numbers.");
  expect_refused(path, "0 1:2\n1 999999999999:1\n",
                 ", line 2: found '999999999999:1', but rows have at most 16777216 features, so an "
                 "index is at most 16777216; correct the index");
  expect_refused(path, "0 1:2\n1 9:1\n",
                 ", line 2: found '9:1', but rows have 8 features, so an index is at most 8; set "
                 "num_features to the number of features in all files",
                 {.num_features = 8});
  expect_refused(path, "# no rows\n", " has no rows; add at least one, such as \"1 3:0.5 7:2\"");
  expect_refused(path, "0\n1\n",
                 ": no row has a feature, so the number of features isn't known; set num_features");
  EXPECT_EQ(test::message_of<ConfigError>([&] { open_files({path}, {.num_features = -1}); }),
            "num_features = -1: must be from 0 to 16777216");
}

TEST(Shards, arrays_that_cannot_be_read_in_place_are_refused) {
  const test::TemporaryFolder folder;
  test::write_npy_of<float>(folder / "x.npy", torch::zeros({4, 3}));
  test::write_npy_of<int64_t>(folder / "y.npy", torch::zeros({5}, at::kLong));
  expect_data_error([&] { open_files({folder / "x.npy"}, {}, {}, {folder / "y.npy"}); },
                    "y.npy' has 5");
  const std::string x = (folder / "x.npy").string();
  expect_data_error([&] { open_files({x}, {.target_column = "1"}); },
                    x + ": target_column is '1'; of the array's 3 columns it must be the first (0) "
                        "or the last (-1). If none of them holds targets, set it to none.");
  const std::string text = test::read_file(x);
  write_text(x, text.substr(0, text.size() - 4));
  expect_data_error([&] { open_files({x}); },
                    "'" + x +
                        "' is damaged or of another format: its header says float32 [4, 3], which "
                        "takes 48 bytes, but is followed by 44: it is truncated; copy or download "
                        "it again");
  std::string columns = text;
  columns.replace(text.find("False"), 5, "True ");
  write_text(x, columns);
  expect_data_error([&] { open_files({x}); },
                    x + ": the array is column-major (Fortran order), so it can't be read row by "
                        "row; save numpy.ascontiguousarray(array) instead");
  std::string big_endian = text;
  big_endian[text.find("<f4")] = '>';
  write_text(x, big_endian);
  expect_data_error([&] { open_files({x}); },
                    x + ": the numbers are big-endian, but rows are read as they lie in the file; "
                        "save array.astype(array.dtype.newbyteorder('<')) instead");
}

TEST(Shards, arrays_without_a_column_of_targets_or_without_rows_are_refused) {
  const test::TemporaryFolder folder;
  const std::string x = (folder / "x.npy").string();
  const auto expect = [&](const std::vector<int64_t>& shape, const std::string& message) {
    test::write_npy_of<float>(x, torch::zeros(shape));
    expect_data_error([&] { open_files({x}); }, x + message);
  };
  expect({4, 1},
         " has only one column, the target; give the targets a file of their own, or set "
         "target_column = none");
  expect({4, 2, 2},
         ": the number of dimensions is 3; if a column holds the targets, it must be 2, [rows, "
         "columns]. Give the targets a file of their own, or set target_column = none.");
  expect({},
         ": the shape of the array is []; it must be [rows, ...]. Save the array with at least "
         "one dimension.");
  expect({4, 0},
         ": the shape of the array is [4, 0]; every row must hold at least one value. Save an "
         "array whose sizes after the first are all above 0.");
}

TEST(Shards, idx_files_that_cannot_be_read_in_place_are_refused) {
  const test::TemporaryFolder folder;
  const std::string path = (folder / "a.idx").string();
  const auto expect = [&](const std::string& bytes, const std::string& message) {
    write_text(path, bytes);
    expect_data_error([&] { open_files({path}); }, message);
  };
  const std::string damaged = "'" + path + "' is damaged or of another format: ";
  expect(std::string("\0\0", 2),
         damaged +
             "it ends after 2 bytes, inside the header of an IDX file; copy or download it again");
  expect(std::string("\0\0\x08\x03\0\0\0\x02", 8),
         damaged + "it ends after 8 bytes, inside the header of an IDX file");
  expect("PK\x03\x04",
         damaged +
             "it isn't an IDX file: its magic number is 1347093252, but MNIST's are 2051 "
             "(images) and 2049 (labels); check that it is the right file");
  expect(std::string("\0\0\x08\x01\0\0\0\x03\x01", 9),
         damaged +
             "its header says uint8 [3], which takes 3 bytes, but is followed by 1: it is "
             "truncated; copy or download it again");
  expect(std::string("\0\0\x0d\x01\0\0\0\x01\0\0\0\0", 12),
         path +
             ": the elements are float32, but only IDX files of uint8 and int8 are read row by "
             "row; save the array as a .npy file");
}

TEST(Shards, files_that_do_not_fit_together_are_refused_by_name) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "a.lvb", test::make_rows(5, 3));
  write_lvb(folder / "b.lvb", test::make_rows(5, 4));
  const std::string a = (folder / "a.lvb").string();
  const std::string y = (folder / "y.npy").string();
  expect_data_error(
      [&] {
        open_files({folder / "a.lvb", folder / "b.lvb"});
      },
      "the rows of " + (folder / "b.lvb").string() +
          " hold input float32 [4], target int64 [], but those of " + a +
          " hold input float32 [3], target int64 []; name files whose rows are of one kind.");
  write_lvb(folder / "none.lvb", test::make_rows(0, 3));
  expect_data_error([&] { open_files({folder / "none.lvb"}); },
                    "none.lvb has no rows; add at least one, or leave the file out");
  write_text(folder / "foreign.lvb", "PK\x03\x04 something else");
  expect_data_error([&] { open_files({folder / "foreign.lvb"}); },
                    "foreign.lvb' is damaged or of another format: it isn't a .lvb file");
  EXPECT_EQ(test::message_of<ConfigError>([&] { open_files({a}, {}, {}, {y}); }),
            "the file of targets '" + y + "' can't go with '" + a +
                "'; only .npy and IDX files can have a file of targets, so leave it out");
  EXPECT_EQ(test::message_of<ConfigError>([&] {
              open_files({a}, {}, {}, {y, y});
            }),
            "1 file of rows can't be paired with 2 files of targets; name one file of targets for "
            "each file of rows");
  write_text(folder / "a.csv", "1,2,0\n");
  write_text(folder / "b.csv", "1,0\n");
  expect_data_error([&] { open_files({folder / "a.csv", folder / "b.csv"}); }, "b.csv");
  expect_data_error([&] { open_files({folder / "gone.csv"}); }, "gone.csv");
  write_text(folder / "what.bin", "1");
  expect_data_error([&] { open_files({folder / "what.bin"}); },
                    "can't read '" + (folder / "what.bin").string() +
                        "': its name ends in none of .lvb, .npy, .csv, .tsv, .libsvm, .svm, "
                        ".svmlight, .idx; rename it, or set format to one of lvb, npy, idx, csv, "
                        "libsvm");
  expect_data_error(
      [&] { open_files({folder / "a.csv.gz"}); },
      "only IDX files may be gzipped, and text that SparseDataModule reads; unpack it "
      "with gunzip first");
  expect_data_error([&] { open_files({folder / "a.npz"}); },
                    "a .npz file isn't read row by row; ArrayDataModule reads it");
  EXPECT_THROW(open_files({folder / "a.csv"}, {.format = "cvs"}), ConfigError);
}

TEST(Shards, a_file_that_changes_while_it_is_streamed_is_an_error) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "a.lvb", test::make_rows(50, 3));
  const auto dataset = open_files({folder / "a.lvb"});
  fs::resize_file(folder / "a.lvb", 500);
  const std::string changed =
      "its size, its time of change or the file itself has changed since it was opened; start "
      "again, and don't change it meanwhile";
  expect_data_error([&] { read_all(*dataset, /*ahead=*/true); },
                    "can't read '" + (folder / "a.lvb").string() + "': " + changed);
  write_text(folder / "a.csv", "1,0\n2,1\n");
  const auto text = open_files({folder / "a.csv"});
  write_text(folder / "a.csv", "1,0\n");
  expect_data_error([&] { read_all(*text, /*ahead=*/true); },
                    "can't read '" + (folder / "a.csv").string() + "': " + changed);
}

TEST(Shards, files_are_found_by_path_folder_and_pattern_in_order_of_their_names) {
  const test::TemporaryFolder folder;
  std::error_code ignored;
  fs::create_directory(folder / "sub", ignored);
  fs::create_directory(folder / "nothing", ignored);
  for (const char* name : {"b.csv", "a.csv", ".hidden.csv", "c.npy", "sub/d.csv"}) {
    write_text(folder / name, "1,0\n");
  }
  using Files = std::vector<fs::path>;
  const std::string root = folder.path().string();
  EXPECT_EQ(readers::find_files({root}),
            (Files{folder / "a.csv", folder / "b.csv", folder / "c.npy"}));
  EXPECT_EQ(readers::find_files({root + "/*.csv", root + "/sub"}),
            (Files{folder / "a.csv", folder / "b.csv", folder / "sub/d.csv"}));
  expect_data_error(
      [&] { readers::find_files({root + "/*.lvb"}); },
      "no file matches the pattern '" + root + "/*.lvb'; check its folder and its spelling");
  expect_data_error([&] { readers::find_files({root + "/nothing"}); },
                    "there is no file in the folder '" + root +
                        "/nothing' (subfolders and names that begin with '.' or '_' don't count); "
                        "put files in it, or name another");
}

// trials 11: what Spark, Hive and Arrow write beside the data or skip themselves.
TEST(Shards, names_that_begin_with_an_underscore_or_a_dot_are_skipped_in_folders_and_patterns) {
  const test::TemporaryFolder folder;
  for (const char* name : {"sp", "sp/_temporary", "sp/day=1", "marks"}) {
    fs::create_directories(folder / name);
  }
  for (const char* name : {"sp/part-0.csv", "sp/day=1/part-1.csv", "sp/_temporary/part-2.csv"}) {
    write_text(folder / name, "1,0\n");
  }
  for (const char* name : {"sp/_SUCCESS", "sp/_metadata.csv", "sp/.part-0.csv.crc",
                           "sp/day=1/_started_7", "marks/_SUCCESS"}) {
    write_text(folder / name, "");
  }
  using Files = std::vector<fs::path>;
  const std::string root = folder.path().string();
  const Files one = {folder / "sp/part-0.csv"};
  EXPECT_EQ(readers::find_files({root + "/sp"}), one);
  EXPECT_EQ(readers::find_files({root + "/sp/*.csv"}), one);
  EXPECT_EQ(readers::find_files({root + "/sp/*/*.csv"}), (Files{folder / "sp/day=1/part-1.csv"}));
  EXPECT_EQ(readers::find_files({root + "/sp/day=1/*"}), (Files{folder / "sp/day=1/part-1.csv"}));
  // What is asked for by name is taken.
  EXPECT_EQ(readers::find_files({root + "/sp/_meta*"}), (Files{folder / "sp/_metadata.csv"}));
  EXPECT_EQ(readers::find_files({root + "/sp/_metadata.csv"}),
            (Files{folder / "sp/_metadata.csv"}));
  EXPECT_EQ(readers::find_files({root + "/sp/_temporary"}),
            (Files{folder / "sp/_temporary/part-2.csv"}));
  expect_data_error([&] { readers::find_files({root + "/marks"}); },
                    "names that begin with '.' or '_' don't count");
  expect_data_error([&] { readers::find_files({root + "/marks/*"}); },
                    "no file matches the pattern '" + root +
                        "/marks/*', apart from names that begin with '.' or '_' and don't count, "
                        "such as '" +
                        root +
                        "/marks/_SUCCESS'; start that part of the pattern with the same "
                        "character");
}

// trials 1
TEST(Shards, columns_of_several_csv_files_are_matched_by_name) {
  const test::TemporaryFolder folder;
  write_text(folder / "a.csv", "a,b,label\n-1,2,0\n3,4,1\n");
  write_text(folder / "b.csv", "label,b,a\n1,6,5\n");
  write_text(folder / "c.csv", "-7,8,1\n");
  write_text(folder / "extra.csv", "id,b,a,label\nx,6,5,1\n");
  const test::Rows expected = {torch::tensor({{-1.0F, 2.0F}, {3.0F, 4.0F}, {5.0F, 6.0F}}),
                               torch::tensor(std::vector<int64_t>{0, 1, 1})};
  expect_both_ways(*open_files({folder / "a.csv", folder / "b.csv"}), expected);
  expect_both_ways(
      *open_files({folder / "a.csv", folder / "extra.csv"}, {.ignore_extra_columns = true}),
      expected);
  expect_data_error(
      [&] {
        open_files({folder / "a.csv", folder / "extra.csv"});
      },
      "extra.csv has the column 'id'");
  expect_data_error(
      [&] {
        open_files({folder / "extra.csv", folder / "a.csv"});
      },
      "a.csv has no column 'id'");
  // A file without names is taken by places, and that is said.
  std::vector<std::string> notes;
  const ShardOptions noting = {.note = [&](const std::string& text) { notes.push_back(text); }};
  const auto cut = open_files({folder / "a.csv", folder / "c.csv"}, noting);
  EXPECT_TRUE(torch::equal(read_all(*cut, true).input[2], torch::tensor({-7.0F, 8.0F})));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes.front(), readers::taken_in_order({(folder / "c.csv").string()},
                                                   {.file = (folder / "a.csv").string(),
                                                    .names = {"a", "b", "label"}}));
}

TEST(Shards, libsvm_rows_narrower_than_those_of_other_files_name_num_features) {
  const test::TemporaryFolder folder;
  write_lvb(folder / "a.lvb", test::make_rows(5, 3));
  write_text(folder / "b.libsvm", "0 1:1\n");
  const std::vector<fs::path> files = {folder / "a.lvb", folder / "b.libsvm"};
  expect_data_error([&] { open_files(files); },
                    "If they come from libsvm files, which don't say how many features there are, "
                    "set num_features to that number when they are read or converted.");
  EXPECT_EQ(open_files(files, {.num_features = 3})->table().rows(), 6);
}

TEST(Shards, what_is_no_file_is_an_error_not_a_wait) {
  const test::TemporaryFolder folder;
  const auto pipe = folder / "a.lvb";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const bool mapped : {true, false}) {
    auto opened = std::async(std::launch::async, [&] {
      expect_data_error(
          [&] { mapped ? void(readers::MappedFile(pipe)) : void(readers::FileSource(pipe)); },
          "can't read '" + pipe.string() +
              "': it isn't a regular file but a pipe or a device; save what it gives as a file and "
              "name that");
    });
    if (opened.wait_for(std::chrono::seconds(60)) == std::future_status::timeout) {
      ADD_FAILURE() << "opening a pipe waits for a writer";
      ::close(::open(pipe.c_str(), O_WRONLY | O_NONBLOCK));
    }
  }
  expect_data_error([&] { const readers::MappedFile file(folder.path()); },
                    "it is a folder, but a file is needed; name a file in it");
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
