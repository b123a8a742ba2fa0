#include <levin/datamodules/array.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <levin/datamodules/readers/npy.h>
#include <levin/framework/core/error.h>

// What ArrayDataModule has learned from one file and reads other files with, and which rows each
// stage takes.

namespace levin::array_fitted_test {

using test::message_of;
using test::read_all;
using test::says;
using test::TemporaryFolder;
using test::write_text;
using Names = std::vector<std::string>;

class ArrayDataModuleFitted : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& rows) const {
    write_text(folder_ / name, "size,kind\n" + rows);
    return (folder_ / name).string();
  }
  /// What training on a file teaches.
  StateDict fitted(const std::string& text, const std::string& target_type = "auto") const {
    ArrayDataModule data({.x = file("trained.csv", text),
                          .val_split = 0,
                          .test_split = 0,
                          .target_type = target_type});
    data.setup(Stage::fit);
    return data.fitted_state();
  }
  /// All rows of a file, as the test rows of a model that knows `state`.
  ArrayDataModule test_rows(const std::string& text, const StateDict& state) const {
    ArrayDataModule data({.x_test = file("new.csv", text)});
    data.load_fitted_state(state);
    return data;
  }
  static torch::Tensor targets(ArrayDataModule data) {
    return read_all(data.test_dataloader()).target();
  }

  TemporaryFolder folder_;
};

TEST_F(ArrayDataModuleFitted, the_state_says_how_classes_are_numbered_and_what_targets_are) {
  const auto named = fitted("1,pear\n2,apple\n3,pear\n").values;
  EXPECT_EQ(named.at("class_names"), Value(Value::Array{"apple", "pear"}));
  EXPECT_EQ(named.at("target_type"), Value("class"));
  const auto numbers = fitted("1,0\n2,1\n").values;
  EXPECT_EQ(numbers.at("class_names"), Value(Value::Array{}));
  EXPECT_EQ(numbers.at("target_type"), Value("class"));
  EXPECT_EQ(fitted("1,0.5\n2,1\n").values.at("target_type"), Value("value"));
}

TEST_F(ArrayDataModuleFitted, classes_are_numbered_as_in_training) {
  const auto state = fitted("1,ant\n2,bee\n3,cat\n");
  EXPECT_TRUE(targets(test_rows("1,cat\n2,ant\n", state)).equal(torch::tensor({2, 0})));
  auto data = test_rows("1,cat\n2,ant\n", state);
  EXPECT_EQ(data.class_names(), (Names{"ant", "bee", "cat"}));
  EXPECT_EQ(data.num_classes(), 3);
  EXPECT_EQ(data.fitted_state().values, state.values);
}

TEST_F(ArrayDataModuleFitted, a_class_that_training_never_met_is_refused_by_name) {
  auto data = test_rows("1,cat\n2,dog\n", fitted("1,ant\n2,bee\n3,cat\n"));
  EXPECT_TRUE(says(message_of<DataError>([&] { data.setup(Stage::test); }),
                   {"new.csv (y_test) has the class 'dog', which isn't in the training data",
                    "their classes are 'ant', 'bee', 'cat'. Leave out"}));
}

TEST_F(ArrayDataModuleFitted, names_of_classes_that_a_checkpoint_holds_are_cut_and_cleaned) {
  auto state = fitted("1,ant\n2,bee\n");
  state.values["class_names"] = Value::Array{"\x1b[2Jant", std::string(1 << 20, 'b')};
  auto data = test_rows("1,dog\n2,\x1b[2Jant\n", state);
  const auto message = message_of<DataError>([&] { data.setup(Stage::test); });
  EXPECT_TRUE(says(message, {"has the class 'dog'", "are '?[2Jant', 'bbb", "bbb...'."}));
  EXPECT_LT(message.size(), 1000U);
}

TEST_F(ArrayDataModuleFitted, numbers_may_stand_for_classes_that_have_names) {
  const auto state = fitted("1,ant\n2,bee\n3,cat\n");
  auto numbered = test_rows("1,2\n2,0\n", state);
  EXPECT_TRUE(read_all(numbered.test_dataloader()).target().equal(torch::tensor({2, 0})));
  const auto notes = numbered.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(says(notes.front(), {"new.csv (y_test): no target is the name of a class",
                                   "taken for the classes' numbers: 0 for 'ant' and so on."}));
  auto named = test_rows("1,cat\n", state);
  named.setup(Stage::test);
  EXPECT_TRUE(named.take_notes().empty());
  auto data = test_rows("1,3\n2,0\n", state);
  EXPECT_TRUE(says(message_of<DataError>([&] { data.setup(Stage::test); }), {"the class '3'"}));
}

TEST_F(ArrayDataModuleFitted, names_that_look_like_numbers_are_names) {
  const auto state = fitted("1,1a\n2,2\n3,7\n");  // classes 0, 1 and 2
  EXPECT_TRUE(targets(test_rows("1,7\n2,2\n", state)).equal(torch::tensor({2, 1})));
}

TEST_F(ArrayDataModuleFitted, texts_are_refused_if_training_had_numbers) {
  auto data = test_rows("1,ant\n2,bee\n", fitted("1,0\n2,1\n"));
  EXPECT_TRUE(says(message_of<DataError>([&] { data.setup(Stage::test); }),
                   {"has the text 'ant' as a target", "numbers"}));
}

TEST_F(ArrayDataModuleFitted, whole_numbers_are_values_if_training_had_values) {
  const auto state = fitted("1,0.5\n2,1\n");
  EXPECT_TRUE(targets(test_rows("1,3\n2,4\n", state)).equal(torch::tensor({3.0F, 4.0F})));
  // Without a state, the training rows decide for the rows to test on.
  ArrayDataModule data(
      {.x = file("x.csv", "1,0.5\n2,1\n"), .x_test = file("t.csv", "1,3\n"), .val_split = 0});
  EXPECT_EQ(read_all(data.test_dataloader()).target().dtype(), torch::kFloat);
}

TEST_F(ArrayDataModuleFitted, data_that_were_set_up_already_are_read_anew) {
  ArrayDataModule data({.x_test = file("new.csv", "1,cat\n2,ant\n")});
  EXPECT_TRUE(read_all(data.test_dataloader()).target().equal(torch::tensor({1, 0})));
  data.load_fitted_state(fitted("1,ant\n2,bee\n3,cat\n"));
  EXPECT_TRUE(read_all(data.test_dataloader()).target().equal(torch::tensor({2, 0})));
}

TEST_F(ArrayDataModuleFitted, names_stay_if_test_rows_are_set_later) {
  ArrayDataModule data({.x = file("x.csv", "1,cat\n2,ant\n"), .val_split = 0, .test_split = 0});
  data.setup(Stage::fit);
  data.set_test(torch::ones({1, 1}), torch::tensor({1}));
  EXPECT_TRUE(read_all(data.test_dataloader()).target().equal(torch::tensor({1})));
  EXPECT_EQ(data.class_names(), (Names{"ant", "cat"}));
}

TEST_F(ArrayDataModuleFitted, its_own_state_changes_nothing) {
  ArrayDataModule data({.x = file("x.csv", "1,cat\n2,ant\n"), .val_split = 0, .test_split = 0});
  const auto loader = data.train_dataloader();
  data.load_fitted_state(data.fitted_state().clone());
  EXPECT_EQ(&data.train_dataloader().front().dataset(), &loader.front().dataset());
}

TEST_F(ArrayDataModuleFitted, tensors_take_over_names_and_what_targets_are) {
  ArrayDataModule data(torch::rand({4, 1}), torch::tensor({0, 2, 1, 2}));
  data.load_fitted_state(fitted("1,ant\n2,bee\n3,cat\n"));
  EXPECT_EQ(data.class_names(), (Names{"ant", "bee", "cat"}));
  ArrayDataModule more(torch::rand({4, 1}), torch::tensor({0, 3, 1, 2}));
  more.load_fitted_state(fitted("1,ant\n2,bee\n3,cat\n"));
  EXPECT_TRUE(says(message_of<DataError>([&] { more.setup(Stage::test); }),
                   {"the class is 3; there are 3 classes, so it must be from 0 to 2"}));
  data.load_fitted_state(fitted("1,0.5\n2,1.5\n"));
  EXPECT_EQ(data.fitted_state().values.at("target_type"), Value("value"));
}

TEST_F(ArrayDataModuleFitted, columns_are_those_of_training_by_name) {
  write_text(folder_ / "trained.csv", "a,b,kind\n1,2,ant\n3,4,bee\n");
  ArrayDataModule trained(
      {.x = (folder_ / "trained.csv").string(), .val_split = 0, .test_split = 0});
  trained.setup(Stage::fit);
  const auto state = trained.fitted_state();
  EXPECT_EQ(state.values.at("columns").at("names"), Value(Value::Array{"a", "b", "kind"}));
  EXPECT_EQ(state.values.at("columns").at("target"), Value(2));

  write_text(folder_ / "new.csv", "kind,b,a\nbee,20,10\n");
  const std::string path = (folder_ / "new.csv").string();
  ArrayDataModule tested({.x_test = path});
  tested.load_fitted_state(state);
  const auto batch = read_all(tested.test_dataloader());
  EXPECT_TRUE(batch.input().equal(torch::tensor({{10.0F, 20.0F}})));
  EXPECT_TRUE(batch.target().equal(torch::tensor({1})));
  EXPECT_EQ(tested.fitted_state().values, state.values);

  // Rows to predict for needn't have the target, and target_column may stay as it is.
  write_text(folder_ / "new.csv", "b,a\n20,10\n");
  ArrayDataModule predicted({.x = path});
  predicted.load_fitted_state(state);
  EXPECT_TRUE(read_all(predicted.predict_dataloader()).input().equal(batch.input()));

  write_text(folder_ / "new.csv", "b,c,kind\n20,10,ant\n");
  ArrayDataModule other({.x_test = path});
  other.load_fitted_state(state);
  EXPECT_TRUE(says(message_of<DataError>([&] { other.setup(Stage::test); }),
                   {"has no column 'a'", "trained.csv"}));
}

TEST_F(ArrayDataModuleFitted, rows_that_were_perhaps_trained_on_are_not_tested_on_silently) {
  const std::string path =
      file("trained.csv", "1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n9,a\n0,b\n");
  ArrayDataModule trained({.x = path, .val_split = 0.2, .test_split = 0.2});
  trained.setup(Stage::fit);
  const auto notes = [&](ArrayDataModule data, Stage stage) {
    data.load_fitted_state(trained.fitted_state());
    data.setup(stage);
    data.setup(stage);  // says it once
    return data.take_notes();
  };
  const auto noted =
      notes(ArrayDataModule({.x = path, .val_split = 0.2, .test_split = 0.8}), Stage::test);
  ASSERT_EQ(noted.size(), 1U);
  EXPECT_TRUE(says(noted[0], {"rows of " + path, "test_split = 0.8 (0.2)", "x_test"})) << noted[0];
  EXPECT_EQ(notes(ArrayDataModule({.x = path, .seed = 1}), Stage::validate).size(), 1U);
  const ArrayDataModuleOptions same{.x = path, .val_split = 0.2, .test_split = 0.2};
  EXPECT_EQ(notes(ArrayDataModule(same), Stage::test), Names{});
  EXPECT_EQ(notes(ArrayDataModule({.x_test = path}), Stage::test), Names{});
  const std::string other = file("new.csv", "1,a\n2,b\n");
  EXPECT_EQ(notes(ArrayDataModule({.x = other, .val_split = 0, .test_split = 1}), Stage::test),
            Names{});
}

TEST_F(ArrayDataModuleFitted, the_target_may_have_another_name_or_file_than_in_training) {
  write_text(folder_ / "trained.csv", "a,b,kind\n1,2,ant\n3,4,bee\n");
  ArrayDataModule trained(
      {.x = (folder_ / "trained.csv").string(), .val_split = 0, .test_split = 0});
  trained.setup(Stage::fit);
  write_text(folder_ / "new.csv", "species,b,a\nbee,20,10\n");
  ArrayDataModule renamed({.x_test = (folder_ / "new.csv").string(), .target_column = "species"});
  renamed.load_fitted_state(trained.fitted_state());
  EXPECT_TRUE(read_all(renamed.test_dataloader()).target().equal(torch::tensor({1})));
  write_text(folder_ / "x.csv", "b,a\n20,10\n");
  write_text(folder_ / "y.csv", "kind\nbee\n");
  ArrayDataModule apart(
      {.x_test = (folder_ / "x.csv").string(), .y_test = (folder_ / "y.csv").string()});
  apart.load_fitted_state(trained.fitted_state());
  const auto batch = read_all(apart.test_dataloader());
  EXPECT_TRUE(batch.input().equal(torch::tensor({{10.0F, 20.0F}})));
  EXPECT_TRUE(batch.target().equal(torch::tensor({1})));
}

// --- the rows of each stage ----------------------------------------------------------------------

TEST_F(ArrayDataModuleFitted, x_test_alone_is_tested_and_predicted_whole) {
  ArrayDataModule data({.x_test = file("new.csv", "1,ant\n2,bee\n3,ant\n")});
  const auto tested = read_all(data.test_dataloader());
  EXPECT_TRUE(tested.input().equal(torch::tensor({{1.0F}, {2.0F}, {3.0F}})));
  EXPECT_TRUE(tested.target().equal(torch::tensor({0, 1, 0})));
  EXPECT_TRUE(read_all(data.predict_dataloader()).input().equal(tested.input()));
  EXPECT_EQ(data.dims(), (std::vector<int64_t>{1}));
  EXPECT_EQ(message_of<ConfigError>([&] { data.setup(Stage::fit); }),
            "x is empty, but training needs it; name the file of the features, a .npy, .npz or "
            ".csv");
}

TEST_F(ArrayDataModuleFitted, test_rows_may_be_tensors_alone) {
  ArrayDataModule data(torch::Tensor{}, torch::Tensor{});
  data.set_test(torch::rand({5, 2}), torch::tensor({0, 1, 0, 1, 1}));
  EXPECT_EQ(*data.test_dataloader().front().dataset().size(), 5);
  EXPECT_EQ(*data.predict_dataloader().front().dataset().size(), 5);
  EXPECT_TRUE(data.val_dataloader().empty());
}

TEST_F(ArrayDataModuleFitted, a_npz_of_new_rows_may_call_its_arrays_x_and_y) {
  const std::vector<float> x = {1, 2, 3};
  const std::vector<int64_t> y = {0, 1, 1};
  const std::string path = (folder_ / "new.npz").string();
  const std::vector<readers::NamedArray> arrays = {{"x", readers::Array::of<float>({3, 1}, x)},
                                                   {"y", readers::Array::of<int64_t>({3}, y)}};
  readers::write_npz(path, arrays);
  EXPECT_TRUE(targets(ArrayDataModule({.x_test = path})).equal(torch::tensor({0, 1, 1})));
}

TEST_F(ArrayDataModuleFitted, prediction_looks_at_no_targets) {
  // One row, which no split leaves to any set, of a class that training never met.
  ArrayDataModule data({.x = file("new.csv", "5,dog\n")});
  data.load_fitted_state(fitted("1,ant\n2,bee\n"));
  EXPECT_TRUE(read_all(data.predict_dataloader()).input().equal(torch::tensor({{5.0F}})));
  ArrayDataModule tensors(torch::ones({1, 2}), torch::tensor({-7}));
  EXPECT_EQ(*tensors.predict_dataloader().front().dataset().size(), 1);
}

TEST_F(ArrayDataModuleFitted, prediction_reads_rows_whose_targets_are_missing_or_of_any_kind) {
  const auto state = fitted("1,ant\n2,bee\n");
  const auto numbers = fitted("1,0\n2,1\n");
  for (const char* rows : {"2.5,\n4,\n", "2.5,1\n4,dog\n", "2.5,ant\n4,\n"}) {
    SCOPED_TRACE(rows);
    const auto expected = torch::tensor({{2.5F}, {4.0F}});
    ArrayDataModule untrained({.x = file("new.csv", rows)});
    EXPECT_TRUE(read_all(untrained.predict_dataloader()).input().equal(expected));
    for (const auto* taken : {&state, &numbers}) {
      ArrayDataModule data({.x_test = file("new.csv", rows)});
      data.load_fitted_state(*taken);
      EXPECT_TRUE(read_all(data.predict_dataloader()).input().equal(expected));
    }
  }
}

TEST_F(ArrayDataModuleFitted, a_stage_asks_only_for_its_own_share_of_the_rows) {
  ArrayDataModule all(torch::rand({3, 1}), torch::tensor({0, 1, 0}),
                      {.val_split = 0, .test_split = 1});
  EXPECT_EQ(*all.test_dataloader().front().dataset().size(), 3);
  EXPECT_TRUE(says(message_of<DataError>([&] { all.setup(Stage::fit); }), {"training set"}));
  ArrayDataModule most(torch::rand({3, 1}), torch::tensor({0, 1, 0}), {.test_split = 0.8});
  EXPECT_EQ(*most.test_dataloader().front().dataset().size(), 2);
  EXPECT_TRUE(says(message_of<DataError>([&] { most.setup(Stage::validate); }), {"val_split"}));
}

}  // namespace levin::array_fitted_test
