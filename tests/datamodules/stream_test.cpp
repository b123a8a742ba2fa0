#include <levin/datamodules/stream.h>

#include "datamodules/stream_support.h"
#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

namespace levin::stream_test {

namespace fs = std::filesystem;
using test::expect_data_error;
using test::make_rows;
using test::message_of;
using test::part_of;
using test::Rows;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

/// All batches of a loader, one after another.
Rows read_all(const DataLoaders& loaders, int64_t epoch = 0) {
  EXPECT_EQ(loaders.size(), 1U);
  auto reader = loaders.front().open(epoch);
  std::vector<torch::Tensor> inputs;
  std::vector<torch::Tensor> targets;
  for (Batch batch; reader.next(batch);) {
    inputs.push_back(batch.input().clone());
    targets.push_back(batch.target().clone());
  }
  return {torch::cat(inputs), torch::cat(targets)};
}

/// 95 rows of 4 features in 5 files of unequal size, and 30 to validate on.
void write_points(const TemporaryFolder& folder) {
  fs::create_directories(folder / "train");
  fs::create_directories(folder / "val");
  const auto points = test::make_points(95);
  int64_t first = 0;
  for (const int64_t count : {30, 1, 17, 40, 7}) {
    const std::string name = "train/" + std::to_string(first) + ".lvb";
    test::write_lvb(folder / name, part_of({points.input, points.target}, first, count));
    first += count;
  }
  const auto val = test::make_points(30, 2);
  test::write_lvb(folder / "val/0.lvb", {val.input, val.target});
}

StreamDataModuleOptions points_in(const TemporaryFolder& folder, int64_t workers) {
  return {.train = {(folder / "train").string()},
          .val = {(folder / "val").string()},
          .batch_size = 7,
          .shuffle_rows = 40,
          .num_workers = workers};
}

// row 19: streamed and sharded data
TEST(StreamDataModule, every_format_gives_the_rows_that_were_written) {
  const TemporaryFolder folder;
  const auto rows = make_rows(200, 5);
  test::write_lvb(folder / "a.lvb", rows);
  test::write_csv(folder / "a.csv", rows, /*header=*/true);
  test::write_libsvm(folder / "a.libsvm", rows);
  test::write_npy_of<float>(folder / "x.npy", rows.input);
  test::write_npy_of<int64_t>(folder / "y.npy", rows.target);
  Rows shuffled;
  for (const char* name : {"a.lvb", "a.csv", "a.libsvm", "x.npy"}) {
    SCOPED_TRACE(name);
    StreamDataModuleOptions options = {
        .train = {(folder / name).string()}, .val = {(folder / name).string()}, .batch_size = 33};
    if (std::string(name) == "x.npy") {
      options.train_targets = options.val_targets = {(folder / "y.npy").string()};
    }
    StreamDataModule data(options);
    test::expect_rows(read_all(data.val_dataloader()), rows);
    seed_everything(3);
    const Rows found = read_all(data.train_dataloader(), 1);
    EXPECT_FALSE(torch::equal(found.input, rows.input));
    if (!shuffled.input.defined()) shuffled = found;
    test::expect_rows(found, shuffled);  // one block in every format, so one order
    EXPECT_EQ(data.dims(), std::vector<int64_t>{5});
  }
}

TEST(StreamDataModule, idx_files_and_folders_of_them_are_streamed_with_their_targets) {
  const TemporaryFolder folder;
  const std::string header("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02", 16);
  test::write_text(folder / "images-idx3-ubyte",
                   header + std::string("\x00\x33\x66\x99\xcc\xff\x01\x02", 8));
  test::write_text(folder / "labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\x02\x07\x09", 10));
  StreamDataModule data({.test = {(folder / "images-idx3-ubyte").string()},
                         .test_targets = {(folder / "labels-idx1-ubyte").string()},
                         .scale = 1.0 / 255.0});
  const Rows found = read_all(data.test_dataloader());
  EXPECT_EQ(found.input.sizes(), (std::vector<int64_t>{2, 2, 2}));
  EXPECT_NEAR(found.input[0][0][1].item<double>(), 0.2, 1e-7);
  EXPECT_NEAR(found.input[1][0][1].item<double>(), 1.0, 1e-7);
  EXPECT_TRUE(torch::equal(found.target, torch::tensor(std::vector<int64_t>{7, 9})));
  EXPECT_TRUE(torch::equal(read_all(data.predict_dataloader()).input, found.input));
}

TEST(StreamDataModule, epochs_differ_and_follow_the_seed_of_the_run) {
  const TemporaryFolder folder;
  write_points(folder);
  const auto order = [&](uint64_t seed, int64_t epoch, int64_t workers) {
    seed_everything(seed);
    StreamDataModule data(points_in(folder, workers));
    return read_all(data.train_dataloader(), epoch).input;
  };
  const auto first = order(1, 0, 0);
  EXPECT_TRUE(torch::equal(order(1, 0, 2), first));
  EXPECT_FALSE(torch::equal(order(1, 1, 0), first));
  EXPECT_FALSE(torch::equal(order(2, 0, 0), first));
}

/// The weights after three epochs; with `stop`, saved there and resumed by another trainer.
StateDict train(const TemporaryFolder& folder, int64_t workers, int64_t stop) {
  const TemporaryFolder logs;
  TrainerOptions options = {.accelerator = "cpu",
                            .max_epochs = 3,
                            .max_steps = stop,
                            .deterministic = true,
                            .default_root_dir = logs.path().string()};
  seed_everything(11);
  StreamDataModule data(points_in(folder, workers));
  test::Classifier model(/*dropout=*/0.2);
  Trainer first(options);
  first.fit(model, data);
  if (stop < 0) return model.state_dict().clone();
  EXPECT_EQ(first.run().global_step(), stop);
  first.save_checkpoint(logs / "stop.ckpt");

  options.max_steps = -1;
  seed_everything(999);  // a resumed process starts with anything
  StreamDataModule same(points_in(folder, 2 - workers));
  test::Classifier other(/*dropout=*/0.2);
  Trainer second(options);
  second.fit(other, same, (logs / "stop.ckpt").string());
  EXPECT_EQ(second.run().global_step(), 42);
  return other.state_dict().clone();
}

// Row 34 in part; Deliver 2: resumable at any step.
class StreamResume : public testing::TestWithParam<int64_t> {};

TEST_P(StreamResume, ends_with_the_bits_of_a_run_that_went_through) {
  const TemporaryFolder folder;
  write_points(folder);
  const StateDict whole = train(folder, 0, -1);
  for (const int64_t workers : {0, 2}) {
    const StateDict resumed = train(folder, workers, GetParam());
    ASSERT_EQ(resumed.tensors.size(), whole.tensors.size());
    for (const auto& [name, tensor] : whole.tensors) {
      EXPECT_TRUE(test::same_bits(tensor, resumed.tensor(name))) << name << " " << workers;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(step, StreamResume, testing::Values(1, 5, 6, 13, 14, 20, 41));

TEST(StreamDataModule, options_that_cannot_be_are_refused) {
  const auto refusal = [](StreamDataModuleOptions options) {
    return message_of<ConfigError>([&] { StreamDataModule data(options); });
  };
  EXPECT_EQ(refusal({}),
            "train, val, test and predict are all empty; name a file in at least one of them");
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .target_type = "klass"}), ConfigError);
  EXPECT_EQ(refusal({.train = {"a"}, .scale = -1.0}),
            "scale = -1: must be a finite number, at least 0");
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .shuffle_rows = -1}), ConfigError);
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .num_features = -1}), ConfigError);
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .num_features = (1 << 24) + 1}), ConfigError);
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .format = "lbv"}), ConfigError);
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .batch_size = 0}), ConfigError);
  EXPECT_THROW(StreamDataModule({.train = {"a"}, .num_workers = -1}), ConfigError);
  EXPECT_EQ(refusal({.train = {"a"}, .val_targets = {"b"}}),
            "val_targets names files, but val is empty; name the files of the features in val, or "
            "leave out val_targets");
  const TemporaryFolder folder;
  test::write_lvb(folder / "a.lvb", make_rows(5, 3));
  const Names name = {(folder / "a.lvb").string()};
  EXPECT_THROW(StreamDataModule({.train = name, .train_targets = {name.front(), name.front()}})
                   .setup(Stage::fit),
               ConfigError);
}

TEST(StreamDataModule, files_that_cannot_be_used_are_refused_by_name_before_training) {
  const TemporaryFolder folder;
  test::write_lvb(folder / "three.lvb", make_rows(5, 3));
  test::write_lvb(folder / "four.lvb", make_rows(5, 4));
  test::write_text(folder / "empty.csv", "");
  test::write_npy_of<float>(folder / "x.npy", torch::zeros({4, 3}));
  fs::create_directories(folder / "nothing");
  const auto expect = [&](const char* train, const char* val, const std::string& part,
                          const char* target_column = "-1") {
    StreamDataModule data({.train = {(folder / train).string()},
                           .val = val == nullptr ? Names() : Names{(folder / val).string()},
                           .target_column = target_column});
    expect_data_error([&] { data.setup(Stage::fit); }, part);
    expect_data_error([&] { data.train_dataloader(); }, part);  // the second time as well
  };
  expect("gone.lvb", nullptr, "gone.lvb");
  expect("nothing", nullptr, "there is no file in the folder");
  expect("empty.csv", nullptr, "empty.csv");
  expect("three.lvb", "four.lvb",
         "four.lvb: the input of a row is float32 [4], but float32 [3] in " +
             (folder / "three.lvb").string() +
             "; name only files whose rows have the same type and shape. If they come from libsvm "
             "files, which don't say how many features there are, set num_features to that number "
             "when they are read or converted.");
  expect("x.npy", nullptr,
         "x.npy has no targets, which training, validation and testing need; set target_column, "
         "or name their files in train_targets",
         "none");
}

TEST(StreamDataModule, features_that_only_training_shows_are_zero_elsewhere_others_refused) {
  const TemporaryFolder folder;
  test::write_text(folder / "train.libsvm", "0 1:1 5:2\n1 2:1\n");
  test::write_text(folder / "val.libsvm", "1 3:4\n");
  test::write_text(folder / "wide.libsvm", "1 6:4\n");
  StreamDataModule data(
      {.train = {(folder / "train.libsvm").string()}, .val = {(folder / "val.libsvm").string()}});
  EXPECT_TRUE(torch::equal(read_all(data.val_dataloader()).input,
                           torch::tensor({{0.0F, 0.0F, 4.0F, 0.0F, 0.0F}})));
  StreamDataModule wide(
      {.train = {(folder / "train.libsvm").string()}, .val = {(folder / "wide.libsvm").string()}});
  expect_data_error([&] { wide.setup(Stage::fit); },
                    "wide.libsvm, line 1: found '6:4', but rows have 5 features, so an index is at "
                    "most 5; set num_features to the number of features in all files");
}

// trials 1
TEST(StreamDataModule, columns_of_all_sets_are_matched_by_name) {
  const TemporaryFolder folder;
  test::write_text(folder / "train.csv", "a,b,label\n-1,2,0\n3,4,1\n");
  test::write_text(folder / "val.csv", "label,b,a\n1,6,5\n");
  test::write_text(folder / "new.csv", "b,a\n8,7\n");
  test::write_text(folder / "bad.csv", "a,c,label\n1,2,0\n");
  StreamDataModuleOptions options = {.train = {(folder / "train.csv").string()},
                                     .val = {(folder / "val.csv").string()},
                                     .predict = {(folder / "new.csv").string()}};
  StreamDataModule data(options);
  const Rows val = read_all(data.val_dataloader());
  EXPECT_TRUE(torch::equal(val.input, torch::tensor({{5.0F, 6.0F}})));
  EXPECT_TRUE(torch::equal(val.target, torch::tensor(std::vector<int64_t>{1})));
  auto reader = data.predict_dataloader().front().open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_TRUE(torch::equal(batch.input(), torch::tensor({{7.0F, 8.0F}})));
  EXPECT_FALSE(batch.has("target"));
  EXPECT_TRUE(data.take_notes().empty());
  options.val = {(folder / "bad.csv").string()};
  StreamDataModule bad(options);
  expect_data_error([&] { bad.setup(Stage::fit); }, "bad.csv has no column 'b'");
  options.val = {(folder / "new.csv").string()};
  StreamDataModule unlabelled(options);
  expect_data_error([&] { unlabelled.setup(Stage::fit); }, "new.csv has no column 'label'");
}

// trials 2
TEST(StreamDataModule, a_doubtful_first_line_is_refused_or_noted_by_the_trainer_until_it_is_told) {
  const TemporaryFolder folder;
  test::write_text(folder / "a.csv", "0,1,2\n-1,2,0\n3,4,1\n");
  StreamDataModuleOptions options = {.train = {(folder / "a.csv").string()}};
  StreamDataModule refused(options);
  expect_data_error([&] { refused.setup(Stage::fit); }, "the numbers count from 0");
  options.header = "true";
  StreamDataModule named(options);
  EXPECT_EQ(read_all(named.train_dataloader()).input.size(0), 2);
  options.header = "maybe";
  EXPECT_THROW(StreamDataModule{options}, ConfigError);

  test::write_text(folder / "b.csv", "5,3,1,0\n1,2,3,1\n");
  options = {.train = {(folder / "b.csv").string()}};
  StreamDataModule noted(options);
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 1,
                   .fast_dev_run = true,
                   .default_root_dir = folder.path().string()});
  testing::internal::CaptureStderr();
  try {
    trainer.fit(model, noted);
  } catch (const std::exception&) {  // the model takes rows of another width
  }
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_NE(printed.find("note: " + (folder / "b.csv").string() + ", line 1: '5', '3', '1', '0'"),
            std::string::npos)
      << printed;
}

// trials 11
TEST(StreamDataModule, folders_that_spark_wrote_are_read) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "sp");
  test::write_text(folder / "sp/_SUCCESS", "");
  test::write_text(folder / "sp/part-00000.csv", "a,label\n1,0\n2,1\n");
  StreamDataModule data({.val = {(folder / "sp").string()}});
  EXPECT_EQ(read_all(data.val_dataloader()).input.size(0), 2);
}

TEST(StreamDataModule, what_targets_are_is_settled_by_the_first_set) {
  const TemporaryFolder folder;
  const auto targets = [&](const char* suffix, const std::string& train, const std::string& val) {
    const auto path = [&](const char* name) { return (folder / name).string() + suffix; };
    test::write_text(path("train"), train);
    test::write_text(path("val"), val);
    StreamDataModule data({.train = {path("train")}, .val = {path("val")}, .shuffle = false});
    data.setup(Stage::fit);
    return std::pair(read_all(data.train_dataloader()).target,
                     read_all(data.val_dataloader()).target);
  };
  const auto [train, val] = targets(".csv", "1,0.5\n2,3\n", "1,2\n2,3\n");
  EXPECT_TRUE(torch::equal(train, torch::tensor({0.5F, 3.0F})));
  EXPECT_TRUE(torch::equal(val, torch::tensor({2.0F, 3.0F})));
  const auto keeps = targets(".libsvm", "-1 1:1\n0 1:1\n1 1:1\n", "-1 1:1\n1 1:1\n");
  EXPECT_TRUE(torch::equal(keeps.first, torch::tensor(std::vector<int64_t>{-1, 0, 1})));
  EXPECT_TRUE(torch::equal(keeps.second, torch::tensor(std::vector<int64_t>{-1, 1})));
  const auto maps = targets(".libsvm", "-1 1:1\n1 1:1\n", "1 1:1\n");
  EXPECT_TRUE(torch::equal(maps.first, torch::tensor(std::vector<int64_t>{0, 1})));
  EXPECT_TRUE(torch::equal(maps.second, torch::tensor(std::vector<int64_t>{1})));
  expect_data_error([&] { targets(".csv", "1,0\n2,3\n", "1,0.5\n"); }, "target_type = value");
  // The same from arrays, where the types differ on disk.
  test::write_npy_of<float>(folder / "x.npy", torch::ones({2, 3}));
  test::write_npy_of<float>(folder / "y.npy", torch::tensor({0.5F, 1.0F}));
  test::write_npy_of<int64_t>(folder / "z.npy", torch::arange(2));
  const auto name = [&](const char* of) { return Names{(folder / of).string()}; };
  StreamDataModule arrays({.train = name("x.npy"),
                           .val = name("x.npy"),
                           .train_targets = name("y.npy"),
                           .val_targets = name("z.npy")});
  EXPECT_TRUE(torch::equal(read_all(arrays.val_dataloader()).target, torch::tensor({0.0F, 1.0F})));
}

TEST(StreamDataModule, arrays_without_targets_beside_those_with_files_of_them_keep_all_columns) {
  const TemporaryFolder folder;
  test::write_npy_of<float>(folder / "x.npy", torch::ones({2, 3}));
  test::write_npy_of<int64_t>(folder / "y.npy", torch::arange(2));
  const Names x = {(folder / "x.npy").string()};
  StreamDataModule data({.train = x, .predict = x, .train_targets = {(folder / "y.npy").string()}});
  auto reader = data.predict_dataloader().front().open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_TRUE(torch::equal(batch.input(), torch::ones({2, 3})));
  EXPECT_FALSE(batch.has("target"));
}

TEST(StreamDataModule, prediction_needs_no_targets) {
  const TemporaryFolder folder;
  test::write_npy_of<float>(folder / "x.npy", torch::ones({4, 3}));
  StreamDataModule data({.predict = {(folder / "x.npy").string()}, .target_column = "none"});
  data.setup(Stage::predict);
  auto reader = data.predict_dataloader().front().open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_EQ(batch.rows(), 4);
  EXPECT_FALSE(batch.has("target"));
  EXPECT_TRUE(data.train_dataloader().empty());
}

TEST(StreamDataModule, features_and_targets_are_read_as_in_training) {
  TemporaryFolder folder;
  test::write_text(folder / "train.libsvm", "0.5 1:1 7:2\n1 2:1\n");
  test::write_text(folder / "narrow.libsvm", "3 1:1\n4 2:1\n");
  StreamDataModule trained({.train = {(folder / "train.libsvm").string()}});
  trained.setup(Stage::fit);
  const auto state = trained.fitted_state();
  EXPECT_EQ(state.values.at("num_features"), Value(7));
  EXPECT_EQ(state.values.at("target_type"), Value("value"));
  StreamDataModule narrow({.test = {(folder / "narrow.libsvm").string()}});
  EXPECT_EQ(narrow.dims(), (std::vector<int64_t>{2}));
  narrow.load_fitted_state(state);
  const auto rows = read_all(narrow.test_dataloader());
  EXPECT_EQ(rows.input.size(1), 7);
  EXPECT_TRUE(rows.target.equal(torch::tensor({3.0F, 4.0F})));
  EXPECT_EQ(narrow.fitted_state().values, state.values);
}

TEST(StreamDataModule, its_shape_follows_what_it_takes_over_after_setup) {
  TemporaryFolder folder;
  test::write_text(folder / "a.libsvm", "0 1:1 3:1\n1 2:1\n");
  StreamDataModule data({.test = {(folder / "a.libsvm").string()}});
  data.setup(Stage::test);
  EXPECT_EQ(data.dims(), (std::vector<int64_t>{3}));
  StateDict state;
  state.values["num_features"] = 5;
  data.load_fitted_state(state);
  EXPECT_EQ(data.dims(), (std::vector<int64_t>{5}));
}

TEST(StreamDataModule, damaged_values_of_a_checkpoint_are_refused_when_they_are_taken_over) {
  const std::pair<const char*, Value> values[] = {{"columns", 5},     {"target_type", 1},
                                                  {"scale", "large"}, {"num_features", "many"},
                                                  {"keep_signs", 1},  {"columns", Value::Array{}}};
  for (const auto& [name, value] : values) {
    SCOPED_TRACE(name);
    StreamDataModule data({.test = {"a.csv"}});
    StateDict state;
    state.values[name] = value;
    EXPECT_THROW(data.load_fitted_state(state), CheckpointError);
  }
}

TEST(StreamDataModule, prediction_looks_at_no_column_of_targets) {
  TemporaryFolder folder;
  test::write_text(folder / "train.csv", "a,kind\n1,0\n2,1\n");
  test::write_text(folder / "new.csv", "a,kind\n2.5,\n4,dog\n");
  test::write_text(folder / "more.csv", "kind,a\n7,3\n");
  StreamDataModule trained({.train = {(folder / "train.csv").string()}});
  trained.setup(Stage::fit);
  const auto state = trained.fitted_state();
  for (const bool knows_training : {false, true}) {
    SCOPED_TRACE(knows_training);
    StreamDataModule data(
        {.predict = {(folder / "new.csv").string(), (folder / "more.csv").string()}});
    if (knows_training) data.load_fitted_state(state);
    auto reader = data.predict_dataloader().front().open();
    Batch batch;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_TRUE(batch.input().equal(torch::tensor({{2.5F}, {4.0F}, {3.0F}})));
    EXPECT_FALSE(batch.has("target"));
  }
}

TEST(StreamDataModule, a_path_that_only_a_shell_would_replace_names_the_option) {
  StreamDataModule data({.train = {"a.npy"}, .train_targets = {"~ann/y.npy"}});
  const auto message = message_of<ConfigError>([&] { data.setup(Stage::fit); });
  EXPECT_TRUE(test::says(message, {"train_targets = ~ann/y.npy: only ~ and $HOME"}));
}

TEST(StreamDataModule, columns_are_those_of_training_by_name) {
  TemporaryFolder folder;
  test::write_text(folder / "train.csv", "a,b,label\n1,2,0\n3,4.5,1\n");
  test::write_text(folder / "test.csv", "label,b,a\n1,20,10\n0,40,30.5\n");
  StreamDataModule trained({.train = {(folder / "train.csv").string()}});
  trained.setup(Stage::fit);
  StreamDataModule tested({.test = {(folder / "test.csv").string()}});
  tested.load_fitted_state(trained.fitted_state());
  const auto rows = read_all(tested.test_dataloader());
  EXPECT_TRUE(rows.input.equal(torch::tensor({{10.0F, 20.0F}, {30.5F, 40.0F}})));
  EXPECT_TRUE(rows.target.equal(torch::tensor({1, 0})));
}

TEST(StreamDataModule, keeps_the_names_of_classes_that_a_checkpoint_knows) {
  TemporaryFolder folder;
  test::write_text(folder / "a.libsvm", "0 1:1\n1 2:1\n");
  StreamDataModule data({.test = {(folder / "a.libsvm").string()}});
  EXPECT_TRUE(data.class_names().empty());
  StateDict state;
  state.values["class_names"] = Value::Array{"ant", "bee"};
  data.load_fitted_state(state);
  EXPECT_EQ(data.class_names(), (Names{"ant", "bee"}));
}

TEST(StreamDataModule, bytes_must_be_scaled_as_in_training) {
  TemporaryFolder folder;
  const std::vector<uint8_t> pixels = {1, 2, 3, 4};
  const std::vector<int64_t> labels = {0, 1};
  readers::write_npy(folder / "x.npy", readers::Array::of<uint8_t>({2, 2}, pixels));
  readers::write_npy(folder / "y.npy", readers::Array::of<int64_t>({2}, labels));
  const auto x = (folder / "x.npy").string();
  const auto y = (folder / "y.npy").string();
  StreamDataModule trained({.train = {x}, .train_targets = {y}, .scale = 0.5});
  trained.setup(Stage::fit);
  StreamDataModule same({.test = {x}, .test_targets = {y}, .scale = 0.5});
  same.load_fitted_state(trained.fitted_state());
  EXPECT_NO_THROW(same.setup(Stage::test));
  StreamDataModule other({.test = {x}, .test_targets = {y}});
  other.load_fitted_state(trained.fitted_state());
  EXPECT_EQ(message_of<ConfigError>([&] { other.setup(Stage::test); }),
            "the model was trained with scale = 0.5, but here scale is 0; set the same scale, so "
            "that features have the same meaning");
}

}  // namespace levin::stream_test
