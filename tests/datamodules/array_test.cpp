#include <levin/datamodules/array.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <levin/datamodules/readers/npy.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin::array_test {

using test::message_of;
using test::read_all;
using test::TemporaryFolder;
using test::write_text;

/// Rows numbered by their first feature, labels i mod 3.
torch::Tensor features(int64_t rows) {
  return torch::stack({torch::arange(rows), torch::arange(rows) * 10}, 1).to(torch::kFloat);
}
torch::Tensor labels(int64_t rows) { return torch::arange(rows).remainder(3); }

int64_t rows_of(const DataLoaders& loaders) {
  return loaders.empty() ? 0 : *loaders.front().dataset().size();
}

std::vector<float> first_column(const DataLoaders& loaders) {
  const auto column = read_all(loaders).input().select(1, 0).contiguous();
  return {column.data_ptr<float>(), column.data_ptr<float>() + column.numel()};
}

std::string data_error(ArrayDataModule data, Stage stage = Stage::fit) {
  try {
    data.setup(stage);
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

// row 13
TEST(ArrayDataModule, splits_80_10_10_unless_told_otherwise) {
  ArrayDataModule data(features(150), labels(150));
  EXPECT_EQ(rows_of(data.train_dataloader()), 120);
  EXPECT_EQ(rows_of(data.val_dataloader()), 15);
  EXPECT_EQ(rows_of(data.test_dataloader()), 15);
}

// row 13
TEST(ArrayDataModule, either_split_can_be_zero) {
  ArrayDataModule no_val(features(150), labels(150), {.val_split = 0});
  EXPECT_TRUE(no_val.val_dataloader().empty());
  EXPECT_EQ(rows_of(no_val.test_dataloader()), 15);
  EXPECT_EQ(rows_of(no_val.train_dataloader()), 135);
  ArrayDataModule no_test(features(150), labels(150), {.val_split = 0.2, .test_split = 0});
  EXPECT_EQ(rows_of(no_test.val_dataloader()), 30);
  EXPECT_TRUE(no_test.test_dataloader().empty());
  ArrayDataModule all(features(3), labels(3), {.val_split = 0, .test_split = 0});
  EXPECT_EQ(rows_of(all.train_dataloader()), 3);
}

// row 13
TEST(ArrayDataModule, own_validation_and_test_rows_take_the_place_of_splits) {
  ArrayDataModule data(features(100), labels(100));
  data.set_validation(features(7), labels(7));
  EXPECT_EQ(rows_of(data.val_dataloader()), 7);
  EXPECT_EQ(rows_of(data.test_dataloader()), 10);
  EXPECT_EQ(rows_of(data.train_dataloader()), 90);
  data.set_test(features(8), labels(8));
  EXPECT_EQ(rows_of(data.test_dataloader()), 8);
  EXPECT_EQ(rows_of(data.train_dataloader()), 100);
}

// row 12
TEST(ArrayDataModule, the_sets_share_no_row_and_are_the_same_for_a_seed) {
  const auto sets = [](int64_t seed) {
    ArrayDataModule data(features(100), labels(100), {.seed = seed});
    return std::vector{first_column(data.val_dataloader()), first_column(data.test_dataloader()),
                       first_column(data.train_dataloader())};
  };
  seed_everything(1);
  const auto once = sets(5);
  seed_everything(1);
  EXPECT_EQ(once, sets(5));
  EXPECT_NE(once[0], sets(6)[0]);
  seed_everything(2);  // gives the batches another order, and leaves the sets as they are
  EXPECT_EQ(once[0], sets(5)[0]);
  EXPECT_NE(once[2], sets(5)[2]);
  std::set<float> rows;
  for (const auto& set : once) rows.insert(set.begin(), set.end());
  EXPECT_EQ(rows.size(), 100U);
}

// row 11
TEST(ArrayDataModule, batches_are_inputs_and_targets_of_the_same_rows) {
  ArrayDataModule data(features(100), labels(100), {.batch_size = 8, .num_workers = 2});
  auto reader = data.train_dataloader().front().open();
  Batch batch;
  int64_t rows = 0;
  while (reader.next(batch)) {
    rows += batch.rows();
    EXPECT_EQ(batch.input().dtype(), torch::kFloat);
    EXPECT_EQ(batch.target().dtype(), torch::kLong);
    const auto numbers = batch.input().select(1, 0).to(torch::kLong);
    EXPECT_TRUE(batch.target().equal(numbers.remainder(3)));
    EXPECT_TRUE(batch.input().select(1, 1).equal(batch.input().select(1, 0) * 10));
    EXPECT_TRUE(torch::tensor(batch.row_ids()).equal(numbers));
  }
  EXPECT_EQ(rows, 80);
}

TEST(ArrayDataModule, without_shuffle_rows_stay_in_order_validation_first) {
  ArrayDataModule data(features(10), labels(10), {.shuffle = false});
  EXPECT_EQ(first_column(data.val_dataloader()), (std::vector<float>{0}));
  EXPECT_EQ(first_column(data.test_dataloader()), (std::vector<float>{1}));
  EXPECT_EQ(first_column(data.train_dataloader()), (std::vector<float>{2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(ArrayDataModule, only_training_rows_are_shuffled_anew_and_dropped_at_the_end) {
  ArrayDataModule data(features(100), labels(100), {.batch_size = 64, .drop_last = true});
  const auto first = data.val_dataloader().front().open(0);
  EXPECT_EQ(*data.train_dataloader().front().size(), 1);
  EXPECT_EQ(*data.val_dataloader().front().size(), 1);
  EXPECT_EQ(*data.test_dataloader().front().size(), 1);
  EXPECT_TRUE(data.train_dataloader().front().options().shuffle);
  EXPECT_FALSE(data.val_dataloader().front().options().shuffle);
}

TEST(ArrayDataModule, stratified_sets_have_every_class_in_proportion) {
  ArrayDataModule data(features(150), torch::arange(150).div(50, "floor"), {.stratify = true});
  for (const auto& [loaders, each] :
       {std::pair{data.train_dataloader(), 40}, std::pair{data.val_dataloader(), 5},
        std::pair{data.test_dataloader(), 5}}) {
    EXPECT_TRUE(read_all(loaders).target().bincount().equal(torch::full({3}, each)));
  }
  ArrayDataModule values(features(150), torch::rand({150}), {.stratify = true});
  EXPECT_EQ(message_of<ConfigError>([&] { values.setup(Stage::fit); }),
            "stratify = true needs classes, but the targets are values; set stratify = false, or "
            "target_type = class if they are whole numbers");
}

TEST(ArrayDataModule, labels_of_every_integer_type_become_int64_and_values_stay_values) {
  for (const auto type :
       {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32, torch::kLong}) {
    ArrayDataModule data(features(30), labels(30).to(type));
    EXPECT_EQ(read_all(data.train_dataloader()).target().dtype(), torch::kLong);
    EXPECT_EQ(data.num_classes(), 3);
  }
  ArrayDataModule column(features(30), labels(30).unsqueeze(1));
  EXPECT_EQ(read_all(column.val_dataloader()).target().sizes(), (std::vector<int64_t>{3}));
  ArrayDataModule values(features(30).to(torch::kDouble), torch::rand({30}, torch::kDouble));
  EXPECT_EQ(read_all(values.train_dataloader()).target().dtype(), torch::kFloat);
  EXPECT_EQ(read_all(values.train_dataloader()).input().dtype(), torch::kFloat);
  EXPECT_EQ(values.num_classes(), 0);
  ArrayDataModule doubles(features(30), torch::rand({30}), {.dtype = "float64"});
  EXPECT_EQ(read_all(doubles.train_dataloader()).target().dtype(), torch::kDouble);
  EXPECT_EQ(read_all(doubles.train_dataloader()).input().dtype(), torch::kDouble);
  ArrayDataModule whole(features(30), labels(30).to(torch::kFloat), {.target_type = "class"});
  EXPECT_EQ(read_all(whole.train_dataloader()).target().dtype(), torch::kLong);
  ArrayDataModule counts(features(30), labels(30) - 1, {.target_type = "value"});
  EXPECT_EQ(read_all(counts.train_dataloader()).target().dtype(), torch::kFloat);
}

TEST(ArrayDataModule, prediction_goes_over_all_rows_in_order_without_targets) {
  ArrayDataModule data(features(50), labels(50), {.batch_size = 7});
  const auto all = read_all(data.predict_dataloader());
  EXPECT_TRUE(all.input().equal(features(50)));
  EXPECT_FALSE(all.has("target"));
  ArrayDataModule unlabelled(features(50), {});
  EXPECT_NO_THROW(unlabelled.setup(Stage::predict));
  EXPECT_EQ(rows_of(unlabelled.predict_dataloader()), 50);
  EXPECT_EQ(data_error({features(50), {}}),
            "y is undefined, but training, validation and testing need targets; give one for each "
            "row of x");
}

TEST(ArrayDataModule, rows_that_do_not_match_are_refused) {
  EXPECT_SAYS(data_error({features(10), labels(9)}), "'x' has 10 rows but 'y' has 9");
  ArrayDataModule data(features(10), labels(10));
  data.set_test(features(5), labels(6));
  EXPECT_SAYS(data_error(data), "'x_test' has 5 rows but 'y_test' has 6");
  ArrayDataModule other(features(10), labels(10));
  other.set_validation(torch::zeros({5, 3}), labels(5));
  EXPECT_EQ(data_error(other),
            "x_val: the shape of a row is [3], but [2] in x; the two must be the same");
  ArrayDataModule half(features(10), labels(10));
  half.set_validation(features(5), {});
  EXPECT_EQ(data_error(half), "y_val is missing; it must be an array of the shape [rows, ...]");
}

TEST(ArrayDataModule, arrays_without_rows_are_refused) {
  EXPECT_EQ(data_error({torch::zeros({0, 4}), labels(0)}),
            "x with the shape [0, 4] is empty; give at least one row and one column");
  EXPECT_EQ(data_error({torch::zeros({4, 0}), labels(4)}),
            "x with the shape [4, 0] is empty; give at least one row and one column");
  EXPECT_EQ(data_error({torch::Tensor(), labels(4)}),
            "x is missing; it must be an array of the shape [rows, ...]");
  EXPECT_EQ(data_error({torch::tensor(1.0), labels(4)}),
            "x is a single number; it must be an array of the shape [rows, ...]");
}

TEST(ArrayDataModule, values_that_are_no_numbers_are_refused_with_their_place) {
  const std::string hint = "; every value must be finite. Replace it, or leave out the row.";
  auto x = features(10);
  x[3][1] = NAN;
  EXPECT_EQ(data_error({x, labels(10)}), "x, row 3, column 1: the value is nan" + hint);
  x[3][1] = -INFINITY;
  EXPECT_EQ(data_error({x, labels(10)}), "x, row 3, column 1: the value is -inf" + hint);
  auto wide = torch::zeros({10, 1, 2, 2});
  wide[9][0][1][0] = NAN;
  EXPECT_EQ(data_error({wide, labels(10)}), "x, row 9, element 2: the value is nan" + hint);
  auto huge = features(10).to(torch::kDouble);
  huge[4][0] = 1e300;
  EXPECT_EQ(data_error({huge, labels(10)}),
            "x, row 4, column 0: the value is 1e+300; float32 can't hold it. Set dtype = float64.");
  auto y = torch::rand({10});
  y[7] = NAN;
  EXPECT_EQ(data_error({features(10), y}), "y, row 7: the value is nan" + hint);
  auto large = torch::rand({10}, torch::kDouble);
  large[2] = -1e300;
  EXPECT_EQ(data_error({features(10), large}),
            "y, row 2: the value is -1e+300; float32 can't hold it. Set dtype = float64.");
  EXPECT_EQ(data_error({features(10), large, {.dtype = "float64"}}), "no DataError");
}

TEST(ArrayDataModule, labels_that_are_no_classes_are_refused_with_their_row) {
  const std::string hint = " If the targets aren't classes, set target_type = value.";
  auto y = labels(10);
  y[4] = -1;
  EXPECT_EQ(data_error({features(10), y}),
            "y, row 4: the class is -1; classes must be numbered from 0." + hint);
  EXPECT_EQ(data_error({features(10), labels(10), {.num_classes = 2}}),
            "y, row 2: the class is 2; there are 2 classes, so it must be from 0 to 1");
  auto real = labels(10).to(torch::kFloat);
  EXPECT_EQ(data_error({features(10), real, {.num_classes = 3}}), "no DataError");
  real[5] = 0.5;
  EXPECT_EQ(data_error({features(10), real, {.num_classes = 3}}),
            "y, row 5: the class is 0.5; classes must be whole numbers up to 2^53." + hint);
  auto large = labels(10).to(torch::kDouble);
  for (const double beyond : {1e300, 9223372036854775808.0}) {  // int64 holds neither
    large[5] = beyond;
    EXPECT_SAYS(data_error({features(10), large, {.target_type = "class"}}),
                "; classes must be whole numbers up to 2^53." + hint);
  }
  EXPECT_EQ(data_error({features(10), torch::zeros({10, 2}, torch::kLong)}),
            "y: the shape is [10, 2]; classes must be [rows] or [rows, 1]." + hint);
}

TEST(ArrayDataModule, training_rows_of_one_class_are_refused_before_the_first_step) {
  const auto x = torch::arange(20, torch::kFloat).view({20, 1});
  for (const int64_t num_classes : {0, 2}) {
    ArrayDataModule data(x, torch::ones({20}, torch::kLong), {.num_classes = num_classes});
    const auto message = message_of<DataError>([&] { data.setup(Stage::fit); });
    EXPECT_NE(message.find("y: all 16 training rows have the class 1"), std::string::npos)
        << message;
    data.setup(Stage::test);
  }
  const TemporaryFolder folder;
  const auto file = folder.path() / "pets.csv";
  write_text(file, "weight,kind\n3,cat\n4,cat\n5,cat\n9,dog\n");
  ArrayDataModule pets({.x = file.string(), .val_split = 0, .test_split = 0.25, .shuffle = false});
  pets.setup(Stage::fit);
  ArrayDataModule cats({.x = file.string(), .val_split = 0, .test_split = 0, .num_classes = 2});
  write_text(file, "weight,kind\n3,cat\n4,cat\n");
  const auto message = message_of<DataError>([&] { cats.setup(Stage::fit); });
  EXPECT_NE(message.find("pets.csv: all 2 training rows have the class 'cat'"), std::string::npos)
      << message;
  ArrayDataModule values(x, torch::ones({20}, torch::kLong), {.target_type = "value"});
  values.setup(Stage::fit);
}

TEST(ArrayDataModule, splits_that_leave_a_set_empty_are_refused) {
  EXPECT_EQ(data_error({features(5), labels(5)}),
            "val_split = 0.1 of 5 rows comes to 0 rows after rounding, so the validation set would "
            "be empty; raise it, or set it to 0");
  EXPECT_EQ(data_error({features(5), labels(5), {.val_split = 0, .test_split = 0.1}}),
            "test_split = 0.1 of 5 rows comes to 0 rows after rounding, so the test set would be "
            "empty; raise it, or set it to 0");
  EXPECT_EQ(data_error({features(5), labels(5), {.val_split = 0.5, .test_split = 0.5}}),
            "val_split = 0.5 and test_split = 0.5 take all 5 rows, so the training set would be "
            "empty; lower one of them");
  ArrayDataModule negative(features(5), labels(5), {.val_split = -0.5});
  EXPECT_THROW(negative.setup(Stage::fit), ConfigError);
}

TEST(ArrayDataModule, words_it_does_not_know_are_refused) {
  ArrayDataModule type(features(50), labels(50), {.target_type = "clas"});
  EXPECT_THROW(type.setup(Stage::fit), ConfigError);
  ArrayDataModule dtype(features(50), labels(50), {.dtype = "float16"});
  EXPECT_THROW(dtype.setup(Stage::fit), ConfigError);
}

TEST(ArrayDataModule, options_that_name_no_file_or_one_besides_tensors_are_refused) {
  EXPECT_EQ(message_of<ConfigError>([] { ArrayDataModule data(ArrayDataModuleOptions{}); }),
            "x is empty; name the file of the features, a .npy, .npz or .csv");
  EXPECT_EQ(message_of<ConfigError>(
                [] { ArrayDataModule data(features(50), labels(50), {.x = "x.npy"}); }),
            "the data was given as tensors, but the options name the file x.npy; leave the file "
            "out; set_validation and set_test take tensors to validate and test on");
}

TEST(ArrayDataModule, options_that_would_have_no_effect_are_refused) {
  const auto of_tensors = [](ArrayDataModuleOptions options) {
    return message_of<ConfigError>([&] { ArrayDataModule(features(9), labels(9), options); });
  };
  EXPECT_SAYS(of_tensors({.target_column = "kind"}),
              "target_column is set for data given as tensors");
  EXPECT_SAYS(of_tensors({.group_column = "store"}), "group_column is set");
  EXPECT_SAYS(of_tensors({.header = "true"}), "header is set");
  EXPECT_SAYS(of_tensors({.ignore_extra_columns = true}), "ignore_extra_columns is set");
  const auto of_files = [](ArrayDataModuleOptions options) {
    return message_of<ConfigError>([&] { ArrayDataModule{options}; });
  };
  EXPECT_SAYS(of_files({.x = "x.csv", .y = "y.csv", .target_column = "kind"}),
              "both target_column = kind and files of targets");
  ArrayDataModule({.x = "x.csv", .y = "y.csv", .x_test = "test.csv", .target_column = "kind"});
}

TEST(ArrayDataModule, a_path_that_only_a_shell_would_replace_names_the_option) {
  const auto message =
      message_of<ConfigError>([] { ArrayDataModule data({.x = "x.csv", .y_test = "~ann/y.csv"}); });
  EXPECT_SAYS(message, "y_test = ~ann/y.csv: only ~ and $HOME are replaced");
}

// row 34
TEST(ArrayDataModule, hyper_parameters_are_its_options) {
  ArrayDataModule data(features(50), labels(50), {.batch_size = 7, .stratify = true});
  const auto settings = data.hyper_parameters();
  EXPECT_EQ(settings.at("batch_size").as_int(), 7);
  EXPECT_EQ(settings.at("stratify").as_bool(), true);
  EXPECT_EQ(settings.at("val_split").as_double(), 0.1);
}

TEST(ArrayDataModule, is_also_named_as_in_bolts) {
  SklearnDataModule data(features(50), labels(50));
  EXPECT_EQ(data.dims(), (std::vector<int64_t>{2}));
}

// --- files ---------------------------------------------------------------------------------------

template <class T>
readers::Array array_of(const torch::Tensor& tensor) {
  const auto contiguous = tensor.contiguous();
  return readers::Array::of<T>(contiguous.sizes().vec(),
                               {contiguous.data_ptr<T>(), static_cast<size_t>(contiguous.numel())});
}

TEST(ArrayDataModuleFiles, npy_files_of_x_and_y) {
  TemporaryFolder folder;
  readers::write_npy(folder / "x.npy", array_of<double>(features(20).to(torch::kDouble)));
  readers::write_npy(folder / "y.npy", array_of<uint8_t>(labels(20).to(torch::kUInt8)));
  ArrayDataModule data({.x = folder / "x.npy", .y = folder / "y.npy", .shuffle = false});
  data.setup(Stage::fit);
  const auto train = read_all(data.train_dataloader());
  EXPECT_TRUE(train.input().equal(features(20).narrow(0, 4, 16)));
  EXPECT_TRUE(train.target().equal(labels(20).narrow(0, 4, 16)));
}

TEST(ArrayDataModuleFiles, an_npz_file_holds_all_sets) {
  TemporaryFolder folder;
  const std::vector<readers::NamedArray> arrays = {
      {"x", array_of<float>(features(20))},
      {"y", array_of<int64_t>(labels(20))},
      {"x_test", array_of<float>(features(5))},
      {"y_test", array_of<int32_t>(labels(5).to(torch::kInt))}};
  const std::string path = folder / "data.npz";
  readers::write_npz(path, arrays);
  ArrayDataModule data({.x = path, .x_test = path, .shuffle = false});
  EXPECT_EQ(rows_of(data.train_dataloader()), 18);
  EXPECT_EQ(rows_of(data.val_dataloader()), 2);
  EXPECT_TRUE(read_all(data.test_dataloader()).input().equal(features(5)));
  EXPECT_TRUE(read_all(data.test_dataloader()).target().equal(labels(5)));
  EXPECT_SAYS(data_error(ArrayDataModule({.x = path, .x_val = path})), "x_val");
  ArrayDataModule half({.x = path, .y_test = path});
  EXPECT_EQ(message_of<ConfigError>([&] { half.setup(Stage::fit); }),
            "y_test names the file " + path +
                ", but x_test is empty; name the file of the features in x_test, or leave out "
                "y_test");
}

TEST(ArrayDataModuleFiles, an_npz_file_as_keras_names_it) {
  TemporaryFolder folder;
  const std::vector<readers::NamedArray> arrays = {{"x_train", array_of<float>(features(20))},
                                                   {"y_train", array_of<int64_t>(labels(20))}};
  readers::write_npz(folder / "keras.npz", arrays);
  ArrayDataModule data({.x = folder / "keras.npz"});
  EXPECT_EQ(rows_of(data.train_dataloader()), 16);
  EXPECT_EQ(data.num_classes(), 3);
}

TEST(ArrayDataModuleFiles, a_csv_file_with_its_target_column) {
  TemporaryFolder folder;
  write_text(folder / "a.csv", "size,kind,weight\n1,pear,5\n2,apple,6\n3,plum,7\n4,apple,8\n");
  ArrayDataModule named({.x = folder / "a.csv",
                         .target_column = "kind",
                         .val_split = 0,
                         .test_split = 0,
                         .shuffle = false});
  const auto batch = read_all(named.train_dataloader());
  EXPECT_TRUE(
      batch.input().equal(torch::tensor({{1., 5.}, {2., 6.}, {3., 7.}, {4., 8.}}, torch::kFloat)));
  EXPECT_TRUE(batch.target().equal(torch::tensor({1, 0, 2, 0})));
  EXPECT_EQ(named.class_names(), (std::vector<std::string>{"apple", "pear", "plum"}));
  write_text(folder / "b.csv", "size,weight,price\n1,2,0.5\n3,4,1.5\n");
  ArrayDataModule last({.x = folder / "b.csv", .val_split = 0, .test_split = 0, .shuffle = false});
  EXPECT_TRUE(read_all(last.train_dataloader()).target().equal(torch::tensor({0.5F, 1.5F})));
  ArrayDataModule none({.x = folder / "b.csv", .target_column = "none"});
  EXPECT_EQ(read_all(none.predict_dataloader()).input().size(1), 3);
  EXPECT_EQ(data_error(none), (folder / "b.csv").string() +
                                  " has no targets, which training, validation and testing need; "
                                  "name their file in y, or the column of a CSV file in "
                                  "target_column");
}

TEST(ArrayDataModuleFiles, a_file_of_targets_has_one_column) {
  TemporaryFolder folder;
  write_text(folder / "x.csv", "1,2\n3,4\n");
  write_text(folder / "y.csv", "1,2,0\n3,4,1\n");
  EXPECT_EQ(data_error(ArrayDataModule({.x = folder / "x.csv", .y = folder / "y.csv"})),
            (folder / "y.csv").string() +
                " has 3 columns, but a file of targets must have one; remove the others");
}

TEST(ArrayDataModuleFiles, numbers_above_the_largest_int64_are_refused_with_their_place) {
  TemporaryFolder folder;
  const std::vector<uint64_t> values = {1, 2, 3, uint64_t{1} << 63};
  readers::write_npy(folder / "x.npy", readers::Array::of<uint64_t>({2, 2}, values));
  EXPECT_EQ(data_error(ArrayDataModule({.x = folder / "x.npy"})),
            (folder / "x.npy").string() +
                ", row 1, column 1: the value is 9223372036854775808; uint64 becomes int64, which "
                "holds at most 9223372036854775807. Save the array as float64.");
}

TEST(ArrayDataModuleFiles, classes_of_a_test_file_are_numbered_as_those_of_training) {
  TemporaryFolder folder;
  write_text(folder / "train.csv", "1,pear\n2,apple\n3,plum\n");
  write_text(folder / "test.csv", "1,plum\n2,pear\n");
  ArrayDataModule data(
      {.x = folder / "train.csv", .x_test = folder / "test.csv", .val_split = 0, .shuffle = false});
  EXPECT_TRUE(read_all(data.train_dataloader()).target().equal(torch::tensor({1, 0, 2})));
  EXPECT_TRUE(read_all(data.test_dataloader()).target().equal(torch::tensor({2, 1})));
  write_text(folder / "other.csv", "1,fig\n");
  EXPECT_EQ(data_error(ArrayDataModule(
                {.x = folder / "train.csv", .x_test = folder / "other.csv", .val_split = 0})),
            (folder / "other.csv").string() +
                " (y_test) has the class 'fig', which isn't in the training data; their classes "
                "are 'apple', 'pear', 'plum'. Leave out its rows, or train with such rows");
}

// trials 1
TEST(ArrayDataModuleFiles, columns_of_validation_and_test_files_are_matched_by_name) {
  TemporaryFolder folder;
  write_text(folder / "train.csv", "a,b,label\n-1,2,0\n3,4,1\n");
  write_text(folder / "val.csv", "b,a,label\n20,10,1\n");
  write_text(folder / "test.csv", "label,id,b,a\n1,x7,200,100\n");
  const ArrayDataModuleOptions options = {.x = folder / "train.csv",
                                          .x_val = folder / "val.csv",
                                          .x_test = folder / "test.csv",
                                          .target_column = "label"};
  EXPECT_EQ(data_error(ArrayDataModule(options)),
            (folder / "test.csv").string() + " has the column 'id', which " +
                (folder / "train.csv").string() +
                " doesn't have; its columns are 'a', 'b', 'label'. Remove it, or set "
                "ignore_extra_columns = true.");
  auto ignoring = options;
  ignoring.ignore_extra_columns = true;
  ignoring.target_column = "-1";  // the name of this column of x is looked for in the others
  ArrayDataModule data(ignoring);
  EXPECT_TRUE(read_all(data.val_dataloader()).input().equal(torch::tensor({{10.F, 20.F}})));
  const auto test = read_all(data.test_dataloader());
  EXPECT_TRUE(test.input().equal(torch::tensor({{100.F, 200.F}})));
  EXPECT_TRUE(test.target().equal(torch::tensor(std::vector<int64_t>{1})));
  EXPECT_TRUE(data.take_notes().empty());
  write_text(folder / "val.csv", "a,label\n10,1\n");
  EXPECT_SAYS(data_error(ArrayDataModule(ignoring)), "val.csv has no column 'b'");
  write_text(folder / "val.csv", "10.5,20,1\n");  // no names: by places, which is said
  ArrayDataModule unnamed(ignoring);
  EXPECT_TRUE(read_all(unnamed.val_dataloader()).input().equal(torch::tensor({{10.5F, 20.F}})));
  const auto notes = unnamed.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_SAYS(notes.front(), "val.csv has no header");
  EXPECT_TRUE(unnamed.take_notes().empty());
}

// trials 2
TEST(ArrayDataModuleFiles, headers_of_numbers_are_refused_until_header_is_set) {
  TemporaryFolder folder;
  write_text(folder / "x.csv", "0,1\n-8,1\n-4,2\n3,9\n");
  write_text(folder / "y.csv", "0\n0\n0\n1\n");
  ArrayDataModuleOptions options = {.x = folder / "x.csv",
                                    .y = folder / "y.csv",
                                    .val_split = 0,
                                    .test_split = 0,
                                    .shuffle = false};
  EXPECT_SAYS(data_error(ArrayDataModule(options)), "x.csv, line 1: the numbers count from 0");
  options.header = "true";
  ArrayDataModule named(options);
  EXPECT_TRUE(read_all(named.train_dataloader()).target().equal(torch::tensor({0, 0, 1})));
  options.header = "false";
  EXPECT_EQ(rows_of(ArrayDataModule(options).train_dataloader()), 4);
  options.header = "yes";
  EXPECT_THROW(ArrayDataModule{options}, ConfigError);
}

TEST(ArrayDataModuleFiles, a_file_of_x_and_one_of_y_settle_each_others_headers) {
  TemporaryFolder folder;
  ArrayDataModuleOptions options = {.x = folder / "x.csv",
                                    .y = folder / "y.csv",
                                    .val_split = 0,
                                    .test_split = 0,
                                    .shuffle = false};
  const auto rows = [&](const char* x, const char* y) {
    write_text(folder / "x.csv", x);
    write_text(folder / "y.csv", y);
    ArrayDataModule data(options);
    const auto count = rows_of(data.train_dataloader());
    EXPECT_TRUE(data.take_notes().empty()) << x << y;
    return count;
  };
  EXPECT_EQ(rows("a,b\n1,2\n3,4\n", "0\n0\n1\n"), 2);        // 0 names the targets
  EXPECT_EQ(rows("a,b\n1,2\n3,4\n", "0\n1\n"), 2);           // 0 is a class
  EXPECT_EQ(rows("-1,2\n3,4\n", "ant\nbee\n"), 2);           // ant is a class
  EXPECT_EQ(rows("-1,2\n3,4\n", "kind\nant\nbee\n"), 2);     // kind isn't
  EXPECT_EQ(rows("2019,2020\n1,2\n3,4\n", "y\n0\n1\n"), 2);  // years
  EXPECT_EQ(rows("0,1\n1,2\n3,4\n", "y\n0\n1\n"), 2);        // of pandas, as y says
  EXPECT_EQ(rows("0,1\n3,4\n", "y\n0\n1\n"), 2);             // a row, as y says
  EXPECT_EQ(rows("0,1\n1,2\n3,4\n", "0\n1\n"), 2);           // y has a row less: no header
  EXPECT_EQ(rows("0,1\n3,4\n", "kind\nant\nbee\n"), 2);      // y has a row more: a header
  readers::write_npy(folder / "y.npy", array_of<int64_t>(labels(2)));
  options.y = folder / "y.npy";
  EXPECT_EQ(rows("0,1\n1,2\n3,4\n", ""), 2);
  EXPECT_EQ(rows("0,1\n3,4\n", ""), 2);
}

TEST(ArrayDataModuleFiles, a_first_line_that_could_be_a_header_is_noted_or_the_mismatch_says_so) {
  TemporaryFolder folder;
  write_text(folder / "x.csv", "2019,2020\n1,2\n3,4\n");
  write_text(folder / "y.csv", "0\n1\n0\n");
  const ArrayDataModuleOptions options = {
      .x = folder / "x.csv", .y = folder / "y.csv", .val_split = 0, .test_split = 0};
  ArrayDataModule data(options);
  data.setup(Stage::fit);
  const auto notes = data.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_SAYS(notes.front(), "x.csv, line 1: '2019', '2020' are taken for a row.");
  write_text(folder / "x.csv", "-1,2\n3,4\n");
  write_text(folder / "y.csv", "7.5\n1.5\n0.5\n");
  EXPECT_SAYS(data_error(ArrayDataModule(options)),
              "'x' has 2 rows but 'y' has 3: every tensor of a data set needs the same number. If "
              "the files are CSV, the first line of one of them may be a header that was taken for "
              "a row, or the reverse: set header = true or false");
  write_text(folder / "x.csv", "a,b\n3,4\n5,6\n");
  write_text(folder / "y.csv", "7.5\n1.5\n");
  auto both = options;
  both.x_val = folder / "x.csv";
  both.y_val = folder / "y.csv";
  EXPECT_EQ(data_error(ArrayDataModule(both)), "no DataError");
  both.header = "true";  // only one of the files has one
  EXPECT_SAYS(data_error(ArrayDataModule(both)), "or the reverse: set header = auto");
}

TEST(ArrayDataModuleFiles, files_that_cannot_be_read_are_refused_by_name) {
  TemporaryFolder folder;
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "missing.npy"})), "missing.npy");
  write_text(folder / "torn.npy", "\x93NUMPY");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "torn.npy"})), "torn.npy");
  write_text(folder / "x.parquet", "PAR1");
  EXPECT_EQ(data_error(ArrayDataModule({.x = folder / "x.parquet"})),
            "can't read '" + (folder / "x.parquet").string() +
                "': expected a .npy, .npz or .csv file; save it as one of them");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "x.libsvm"})),
              "StreamDataModule reads .libsvm files");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "x.csv.gz"})), "unpack it with gunzip");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder.path()})), "StreamDataModule reads folders");
  write_text(folder / "pipes.csv", "a|b|c\n1|2|0\n");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "pipes.csv"})),
              "pipes.csv has only one column, the target; add at least one column of features, or "
              "set target_column = none. Cells must be separated by commas, semicolons or tabs.");
  write_text(folder / "tabs.tsv", "a\tb\n1\t2\n");
  EXPECT_NO_THROW(
      ArrayDataModule({.x = folder / "tabs.tsv", .target_column = "none"}).setup(Stage::predict));
  write_text(folder / "bad.csv", "1,2\n3,x\n");
  EXPECT_SAYS(data_error(ArrayDataModule({.x = folder / "bad.csv", .target_column = "none"})),
              "bad.csv");
}

}  // namespace levin::array_test
