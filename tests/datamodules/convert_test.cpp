#include <levin/datamodules/convert.h>

#include "datamodules/readers/gzip_support.h"
#include "datamodules/stream_support.h"
#include "framework/message_of.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_lvb.h>
#include <levin/framework/core/files.h>

namespace levin::convert_test {

namespace fs = std::filesystem;
using test::expect_data_error;
using test::expect_rows;
using test::make_rows;
using test::message_of;
using test::open_files;
using test::TemporaryFolder;
using test::write_text;

/// What a conversion wrote, as a data set reads it.
test::Rows read_back(const fs::path& folder) {
  return test::read_all(*open_files(readers::find_files({folder.string()})), /*ahead=*/true);
}

class Convert : public testing::Test {
 protected:
  std::string at(const char* name) const { return (folder / name).string(); }
  std::vector<std::string> contents() const {
    std::vector<std::string> names;
    for (const auto& each : fs::recursive_directory_iterator(folder.path())) {
      names.push_back(each.path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  /// Runs `action`, which must throw `Expected` and leave nothing behind.
  template <class Expected, class Action>
  void expect_nothing_left(const Action& action) const {
    const auto before = contents();
    EXPECT_THROW(action(), Expected);
    EXPECT_EQ(contents(), before);
  }

  TemporaryFolder folder;
};

// row 19
TEST_F(Convert, rows_of_every_format_come_back_as_they_were) {
  const auto rows = make_rows(1000, 7);
  test::write_csv(folder / "a.csv", rows, /*header=*/true);
  test::write_libsvm(folder / "a.libsvm", rows);
  test::write_lvb(folder / "a.lvb", rows);
  test::write_npy_of<double>(folder / "x.npy", rows.input.to(at::kDouble));
  test::write_npy_of<int32_t>(folder / "y.npy", rows.target.to(at::kInt));
  for (const char* name : {"a.csv", "a.libsvm", "a.lvb", "x.npy"}) {
    SCOPED_TRACE(name);
    ConvertOptions options = {.inputs = {at(name)}, .output = at("out"), .rows_per_shard = 300};
    if (std::string(name) == "x.npy") options.targets = {at("y.npy")};
    int64_t last = -1;
    const auto written = convert(options, [&](int64_t done, int64_t total) {
      if (total == 0) return;  // still looks for lines
      EXPECT_GE(done, last);
      EXPECT_EQ(total, 1000);
      last = done;
    });
    EXPECT_EQ(last, 1000);
    EXPECT_EQ(written.rows, 1000);
    EXPECT_EQ(written.shards, 4);
    uint64_t bytes = 0;
    for (const auto& each : fs::directory_iterator(folder / "out")) bytes += each.file_size();
    EXPECT_EQ(written.bytes, bytes);
    expect_rows(read_back(folder / "out"), rows);
    std::error_code ignored;
    fs::remove_all(folder / "out", ignored);
  }
}

TEST_F(Convert, several_files_become_one_shard_and_bytes_stay_bytes) {
  const auto pixels = torch::arange(120, at::kInt).to(at::kByte).reshape({5, 4, 6});
  test::write_npy_of<uint8_t>(folder / "x0.npy", pixels.narrow(0, 0, 3));
  test::write_npy_of<uint8_t>(folder / "x1.npy", pixels.narrow(0, 3, 2));
  test::write_npy_of<uint8_t>(folder / "y0.npy", torch::arange(3, at::kByte));
  test::write_npy_of<uint8_t>(folder / "y1.npy", torch::arange(3, 5, at::kByte));
  fs::create_directories(folder / "out");  // empty: that's fine
  const auto written = convert({.inputs = {at("x*.npy")},
                                .output = at("out") + "/",
                                .targets = {at("y0.npy"), at("y1.npy")}});
  EXPECT_EQ(written.shards, 1);
  expect_rows(read_back(folder / "out"), {pixels, torch::arange(5)});
}

TEST_F(Convert, features_alone_and_targets_that_are_values_are_kept_so) {
  write_text(folder / "a.csv", "1,2\n3,4\n");
  convert({.inputs = {at("a.csv")}, .output = at("none"), .target_column = "none"});
  const auto none = read_back(folder / "none");
  EXPECT_TRUE(torch::equal(none.input, torch::tensor({{1.0F, 2.0F}, {3.0F, 4.0F}})));
  EXPECT_FALSE(none.target.defined());
  convert({.inputs = {at("a.csv")}, .output = at("values"), .target_type = "value"});
  expect_rows(read_back(folder / "values"),
              {torch::tensor({{1.0F}, {3.0F}}), torch::tensor({2.0F, 4.0F})});
}

// trials 1 and 2
TEST_F(Convert, columns_of_several_files_are_matched_by_name_and_doubts_are_noted) {
  write_text(folder / "a.csv", "a,b,label\n-1,2,0\n3,4,1\n");
  write_text(folder / "b.csv", "label,b,a\n1,6,5\n");
  const auto written = convert({.inputs = {at("a.csv"), at("b.csv")}, .output = at("out")});
  EXPECT_TRUE(written.notes.empty());
  expect_rows(read_back(folder / "out"),
              {torch::tensor({{-1.0F, 2.0F}, {3.0F, 4.0F}, {5.0F, 6.0F}}),
               torch::tensor(std::vector<int64_t>{0, 1, 1})});
  write_text(folder / "c.csv", "c,b,a,label\n7,6,5,1\n");
  const ConvertOptions options = {.inputs = {at("a.csv"), at("c.csv")}, .output = at("more")};
  expect_data_error([&] { convert(options); }, "c.csv has the column 'c'");
  auto ignoring = options;
  ignoring.ignore_extra_columns = true;
  EXPECT_EQ(convert(ignoring).rows, 3);
  write_text(folder / "d.csv", "0,1,2\n3,4,1\n");
  const ConvertOptions numbers = {.inputs = {at("d.csv")}, .output = at("numbers")};
  expect_data_error([&] { convert(numbers); }, "header = true");
  auto named = numbers;
  named.header = "true";
  EXPECT_EQ(convert(named).rows, 1);
  write_text(folder / "e.csv", "5,3,1\n3,4,1\n");
  EXPECT_EQ(convert({.inputs = {at("e.csv")}, .output = at("noted")}).notes.size(), 1U);
}

// trials 1
TEST_F(Convert, shards_keep_the_names_of_columns_and_refuse_those_of_another_order) {
  write_text(folder / "train.csv", "label,a,b\n0,-1,2\n1,3,4\n");
  write_text(folder / "test.csv", "b,a,label\n6,5,1\n");
  convert({.inputs = {at("train.csv")}, .output = at("train"), .target_column = "label"});
  convert({.inputs = {at("test.csv")}, .output = at("mixed"), .target_column = "label"});
  const fs::path train = folder / "train/shard-00000.lvb";
  const auto with_train = [&](const fs::path& other) { return open_files({train, other}); };
  expect_data_error([&] { with_train(folder / "mixed/shard-00000.lvb"); },
                    "mixed/shard-00000.lvb are 'b', 'a', 'label', but those of " + train.string() +
                        " are 'a', 'b', 'label'; .lvb files are read as they lie, so make it again "
                        "with levin convert --like " +
                        train.string());
  const test::Rows expected = {torch::tensor({{-1.0F, 2.0F}, {3.0F, 4.0F}, {5.0F, 6.0F}}),
                               torch::tensor(std::vector<int64_t>{0, 1, 1})};
  expect_rows(test::read_all(*with_train(folder / "test.csv"), /*ahead=*/true), expected);
  for (const char* like : {"train", "train.csv"}) {
    const std::string output = at("test-by-") + like;
    convert(
        {.inputs = {at("test.csv")}, .output = output, .target_column = "label", .like = at(like)});
    const auto dataset = with_train(fs::path(output) / "shard-00000.lvb");
    expect_rows(test::read_all(*dataset, /*ahead=*/true), expected);
  }
  write_text(folder / "unnamed.csv", "-1,2,0\n");
  expect_data_error(
      [&] { convert({.inputs = {at("test.csv")}, .output = at("no"), .like = at("unnamed.csv")}); },
      "have no names to be matched");
}

// trials 14: rows converted apart from the training data get the same number of features.
TEST_F(Convert, libsvm_rows_like_those_of_training_have_as_many_features_and_the_same_targets) {
  write_text(folder / "train.libsvm", "0.5 1:1 5:2\n2 2:1\n");
  write_text(folder / "narrow.libsvm", "1 3:4\n");
  convert({.inputs = {at("train.libsvm")}, .output = at("train")});
  convert({.inputs = {at("narrow.libsvm")}, .output = at("apart")});
  expect_data_error(
      [&] {
        open_files({folder / "train/shard-00000.lvb", folder / "apart/shard-00000.lvb"});
      },
      "set num_features to that number when they are read or converted.");
  for (const char* like : {"train", "train.libsvm"}) {
    const std::string output = at("like-") + like;
    convert({.inputs = {at("narrow.libsvm")}, .output = output, .like = at(like)});
    expect_rows(read_back(output),
                {torch::tensor({{0.0F, 0.0F, 4.0F, 0.0F, 0.0F}}), torch::tensor({1.0F})});
  }
  write_text(folder / "wide.libsvm", "1 6:4\n");
  expect_data_error(
      [&] { convert({.inputs = {at("wide.libsvm")}, .output = at("no"), .like = at("train")}); },
      "found '6:4', but rows have 5 features");
}

TEST_F(Convert, what_cannot_be_converted_leaves_nothing_behind) {
  auto text = std::string("1,2,0\n");
  for (int i = 0; i < 12; ++i) text += text;  // 4,096 rows, several batches
  write_text(folder / "nan.csv", text + "1,nan,0\n");
  write_text(folder / "ragged.csv", text + "1,0\n");
  test::write_npy_of<float>(folder / "inf.npy", torch::full({10, 3}, 1.0F / 0.0F));
  write_text(folder / "good.csv", text);
  const auto options = [&](const char* name) {
    return ConvertOptions{.inputs = {at(name)}, .output = at("out"), .rows_per_shard = 1000};
  };
  expect_nothing_left<DataError>([&] { convert(options("nan.csv")); });
  expect_nothing_left<DataError>([&] { convert(options("ragged.csv")); });
  expect_nothing_left<DataError>([&] { convert(options("gone.csv")); });
  expect_nothing_left<DataError>([&] { convert(options("inf.npy")); });
  expect_data_error([&] { convert(options("inf.npy")); }, "inf.npy, row 0");
  struct Stop {};
  expect_nothing_left<Stop>([&] {
    convert(options("good.csv"), [](int64_t done, int64_t) {
      if (done >= 2000) throw Stop();
    });
  });
  for (const char* operation : {"write", "sync", "rename"}) {
    SCOPED_TRACE(operation);
    int count = 0;
    files::inject_faults([&](const files::Operation& each) {
      return each.name == operation && ++count == 2 ? ENOSPC : 0;
    });
    expect_nothing_left<CheckpointError>([&] { convert(options("good.csv")); });
    files::inject_faults({});
  }
  EXPECT_EQ(convert(options("good.csv")).shards, 5);
}

TEST_F(Convert, an_output_that_is_there_is_refused_and_left_alone) {
  write_text(folder / "a.csv", "1,2\n");
  fs::create_directories(folder / "full");
  write_text(folder / "full/mine", "precious");
  for (const char* name : {"full", "a.csv"}) {
    const auto into_it = [&] { convert({.inputs = {at("a.csv")}, .output = at(name)}); };
    expect_nothing_left<ConfigError>(into_it);
    EXPECT_EQ(
        message_of<ConfigError>(into_it),
        "output = " + at(name) + ": it exists and isn't an empty folder; name a new or empty one");
  }
  EXPECT_EQ(test::read_file(folder / "full/mine"), "precious");
  EXPECT_EQ(test::read_file(folder / "a.csv"), "1,2\n");
}

TEST_F(Convert, an_output_that_cannot_be_replaced_is_refused_at_once) {
  write_text(folder / "a.csv", "1,2\n");
  fs::create_directory(folder / "empty");
  fs::create_directory_symlink(folder / "empty", folder / "link");
  fs::create_directory_symlink(folder / "gone", folder / "dangling");
  const auto refuse = [&](const std::string& output) {
    const auto into_it = [&] {
      convert({.inputs = {at("a.csv")}, .output = output},
              [](int64_t, int64_t) { ADD_FAILURE() << "it starts to read"; });
    };
    expect_nothing_left<ConfigError>(into_it);
    return message_of<ConfigError>(into_it);
  };
  EXPECT_EQ(refuse(at("link")),
            "output = " + at("link") +
                ": it is a link, a mount point or the working directory, which can't be replaced; "
                "name a new folder");
  refuse(at("link") + "/");
  refuse(at("dangling"));
  const fs::path before = fs::current_path();
  fs::current_path(folder / "empty");
  refuse(".");
  refuse(at("empty"));
  fs::current_path(before);
  EXPECT_EQ(convert({.inputs = {at("a.csv")}, .output = at("empty")}).rows, 1);
}

TEST_F(Convert, folders_made_for_the_output_go_with_it_others_stay) {
  write_text(folder / "bad.csv", "1,2\n1,nan\n");
  write_text(folder / "good.csv", "1,2\n");
  fs::create_directory(folder / "mine");
  const auto options = [&](const char* name) {
    return ConvertOptions{.inputs = {at(name)}, .output = at("mine/a/b/out")};
  };
  expect_nothing_left<DataError>([&] { convert(options("bad.csv")); });
  convert(options("good.csv"));
  EXPECT_TRUE(fs::exists(folder / "mine/a/b/out/shard-00000.lvb"));
}

TEST_F(Convert, can_be_stopped_while_text_is_read_to_find_its_lines) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "1.5,2.5,0\n";
  write_text(folder / "a.csv", text);
  struct Stop {};
  int calls = 0;
  expect_nothing_left<Stop>([&] {
    convert({.inputs = {at("a.csv")}, .output = at("out")}, [&](int64_t, int64_t total) {
      EXPECT_EQ(total, 0);
      if (++calls == 4) throw Stop();
    });
  });
}

TEST_F(Convert, options_that_cannot_be_are_refused) {
  write_text(folder / "a.csv", "1,2\n");
  EXPECT_EQ(message_of<ConfigError>([&] { convert({.output = at("out")}); }),
            "no input is named; name at least one file to convert");
  EXPECT_EQ(message_of<ConfigError>([&] { convert({.inputs = {at("a.csv")}}); }),
            "no output is named; name the folder to write the shards into");
  EXPECT_THROW(convert({.inputs = {at("a.csv")}, .output = at("out"), .rows_per_shard = -1}),
               ConfigError);
  EXPECT_THROW(convert({.inputs = {at("a.csv")}, .output = at("out"), .target_type = "x"}),
               ConfigError);
}

TEST_F(Convert, sparse_rows_come_back_as_they_were) {
  write_text(folder / "a.svm", "1 1:1 4:0.5\n-1 2:3\n1\n");
  write_text(folder / "b.svm", "-1 7:2\n1 1:1\n");
  const auto written = convert({.inputs = {at("*.svm")},
                                .output = at("out"),
                                .rows_per_shard = 2,
                                .num_features = 9,
                                .sparse = true});
  EXPECT_EQ(written.rows, 5);
  EXPECT_EQ(written.shards, 3);
  readers::SparseRows back;
  uint64_t bytes = 0;
  for (const auto& file : readers::find_files({at("out")})) {
    const readers::SparseLvb shard(file);
    bytes += shard.file_bytes();
    EXPECT_EQ(shard.columns(), 9);
    back.append(shard.read(0, shard.rows()));
  }
  EXPECT_EQ(written.bytes, bytes);
  const auto rows = readers::read_sparse_libsvm({folder / "a.svm", folder / "b.svm"});
  EXPECT_TRUE(std::ranges::equal(back.offsets.span(), rows.offsets.span()));
  EXPECT_TRUE(std::ranges::equal(back.indices.span(), rows.indices.span()));
  EXPECT_TRUE(std::ranges::equal(back.values.span(), rows.values.span()));
  EXPECT_TRUE(std::ranges::equal(back.targets.span(), rows.targets.span()));
}

TEST_F(Convert, a_conversion_of_sparse_rows_that_is_stopped_leaves_nothing_behind) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += i % 2 == 0 ? "1 1:2\n" : "-1 2:1\n";
  write_text(folder / "a.svm", text);
  write_text(folder / "bad.svm", text + "1 0:1\n");
  write_text(folder / "cut.svm.gz", test::gzipped(text).substr(0, 60));
  const auto options = [&](const char* name) {
    return ConvertOptions{
        .inputs = {at(name)}, .output = at("out"), .rows_per_shard = 1000, .sparse = true};
  };
  expect_nothing_left<DataError>([&] { convert(options("bad.svm")); });
  expect_nothing_left<DataError>([&] { convert(options("cut.svm.gz")); });
  struct Stop {};
  for (const bool is_read : {false, true}) {
    expect_nothing_left<Stop>([&] {
      convert(options("a.svm"), [&](int64_t done, int64_t total) {
        if (is_read ? done >= 2000 : total == 0) throw Stop();
      });
    });
  }
  for (const char* operation : {"write", "sync", "rename"}) {
    SCOPED_TRACE(operation);
    int count = 0;
    files::inject_faults([&](const files::Operation& each) {
      return each.name == operation && ++count == 2 ? ENOSPC : 0;
    });
    expect_nothing_left<CheckpointError>([&] { convert(options("a.svm")); });
    files::inject_faults({});
  }
  EXPECT_EQ(convert(options("a.svm")).shards, 4);
}

TEST_F(Convert, sparse_rows_with_options_of_dense_ones_are_refused) {
  write_text(folder / "a.svm", "1 0:1\n");
  const ConvertOptions sparse = {.inputs = {at("a.svm")}, .output = at("out"), .sparse = true};
  const auto with = [&](auto&& change) {
    ConvertOptions options = sparse;
    change(options);
    return [options] { convert(options); };
  };
  expect_nothing_left<ConfigError>(with([](auto& o) { o.format = "csv"; }));
  expect_nothing_left<ConfigError>(with([](auto& o) { o.targets = {"y.npy"}; }));
  expect_nothing_left<ConfigError>(with([](auto& o) { o.like = "b.svm"; }));
  expect_nothing_left<DataError>(with([](auto&) {}));  // index 0 in a file from 1
}

}  // namespace levin::convert_test
