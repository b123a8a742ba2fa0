#include <levin/datamodules/table.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "framework/support.h"

#include <torch/torch.h>

#include <levin/datamodules/array.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/logistic_regression.h>

// TableDataModule: what it learns from which rows, and that a checkpoint carries it everywhere.

namespace levin::table_test {

using test::message_of;
using test::read_all;
using test::says;
using test::TemporaryFolder;
using test::write_text;
using Names = std::vector<std::string>;

constexpr const char* kPeople =
    "id,age,plan,left\n"
    "p1,10,a,no\np2,20,b,yes\np3,,a,no\np4,40,b,yes\np5,50,a,no\n"
    "p6,60,b,yes\np7,70,a,no\np8,80,b,yes\np9,90,a,no\np10,100,b,yes\n";

class TableDataModuleTest : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    write_text(folder_ / name, text);
    return (folder_ / name).string();
  }
  TableDataModuleOptions options(const std::string& text = kPeople) const {
    TableDataModuleOptions o;
    o.x = file("people.csv", text);
    o.target = "left";
    o.key = "id";
    o.missing = "mean";
    o.standardize = true;
    o.batch_size = 4;
    return o;
  }
  /// What training on the file teaches.
  StateDict fitted() const {
    TableDataModule data(options());
    data.setup(Stage::fit);
    return data.fitted_state();
  }
  /// All rows of a file, for a model that knows `state`.
  TableDataModule test_rows(const std::string& text, const StateDict& state) const {
    TableDataModule data({.x_test = file("new.csv", text)});
    data.load_fitted_state(state);
    return data;
  }

  TemporaryFolder folder_;
};

TEST_F(TableDataModuleTest, training_rows_may_be_drawn_by_their_classes_and_weights) {
  auto o = options("x,w,left\n1,0,no\n2,3,yes\n3,1,no\n4,0,yes\n");
  o.key = "";
  o.weights = "w";
  o.missing = "refuse";
  o.standardize = false;
  o.val_split = o.test_split = 0;
  o.batch_size = 2;
  o.sampling = "stratified";
  TableDataModule data(o);
  auto stratified = data.train_dataloader().front().open();
  int64_t batches = 0;
  for (Batch batch; stratified.next(batch); ++batches) {
    EXPECT_EQ(batch.target().sum().item<int64_t>(), 1) << "one of each class";
    EXPECT_TRUE(batch.has("weight"));
  }
  EXPECT_EQ(batches, 2);
  o.sampling = "weighted";
  TableDataModule weighted(o);
  auto drawn = weighted.train_dataloader().front().open();
  for (Batch batch; drawn.next(batch);) {
    EXPECT_FALSE(batch.has("weight")) << "the loss would count them a second time";
    EXPECT_TRUE((batch.input() >= 2).logical_and(batch.input() <= 3).all().item<bool>());
  }
  o.stream = true;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { TableDataModule{o}; }), {"sampling = weighted"}));
}

TEST_F(TableDataModuleTest, rows_are_divided_as_by_array_data_module) {
  auto o = options("id,age,left\n1,1,0\n2,2,1\n3,3,0\n4,4,1\n5,5,0\n6,6,1\n7,7,0\n8,8,1\n");
  o.standardize = false;
  o.val_split = o.test_split = 0.25;
  for (const bool stratify : {false, true}) {
    o.stratify = stratify;
    TableDataModule table(o);
    ArrayDataModule array(
        {.x = file("array.csv", "age,left\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n7,0\n8,1\n"),
         .val_split = 0.25,
         .test_split = 0.25,
         .stratify = stratify});
    EXPECT_TRUE(
        read_all(table.val_dataloader()).input().equal(read_all(array.val_dataloader()).input()));
    EXPECT_TRUE(
        read_all(table.test_dataloader()).input().equal(read_all(array.test_dataloader()).input()));
    EXPECT_TRUE(read_all(table.test_dataloader())
                    .target()
                    .equal(read_all(array.test_dataloader()).target()));
  }
}

TEST_F(TableDataModuleTest, means_are_those_of_the_training_rows) {
  auto o = options();
  o.shuffle = false;  // rows 0 and 1 are validated, row 2 is tested on
  o.val_split = 0.2;
  TableDataModule data(o);
  data.setup(Stage::fit);
  EXPECT_EQ(data.fitted().columns[0].mean, 70.0);  // of 40 ... 100
  EXPECT_EQ(data.feature_names(), (Names{"age", "plan=a", "plan=b"}));
  EXPECT_EQ(data.num_features(), 3);
  EXPECT_EQ(data.num_classes(), 2);
  EXPECT_EQ(data.class_names(), (Names{"no", "yes"}));
  EXPECT_TRUE(read_all(data.val_dataloader())
                  .input()
                  .allclose(torch::tensor({{-3.0F, 1.0F, 0.0F}, {-2.5F, 0.0F, 1.0F}})));
  const auto test = read_all(data.test_dataloader());
  EXPECT_TRUE(test.input().equal(torch::tensor({{0.0F, 1.0F, 0.0F}})));  // the mean stands for it
  EXPECT_EQ(test.target().item<int64_t>(), 0);
}

TEST_F(TableDataModuleTest, other_files_are_read_with_what_training_found) {
  auto o = options();
  o.val_split = o.test_split = 0;
  o.x_test = file("test.csv", "left,plan,age\nyes,b,55\n");  // other columns in another order
  TableDataModule data(o);
  const auto rows = read_all(data.test_dataloader());
  auto again = test_rows("plan,left,age\nb,yes,55\n", data.fitted_state());
  EXPECT_TRUE(rows.input().equal(read_all(again.test_dataloader()).input()));
  EXPECT_TRUE(rows.target().equal(read_all(again.test_dataloader()).target()));
  EXPECT_EQ(again.class_names(), data.class_names());
  EXPECT_EQ(again.fitted_state().values.at("table"), data.fitted_state().values.at("table"));
}

TEST_F(TableDataModuleTest, rows_to_predict_for_need_no_target_and_keep_their_keys) {
  auto data = test_rows("age,id,plan\n,n1,b\n50,n2,a\n", fitted());
  const auto rows = read_all(data.predict_dataloader());
  EXPECT_FALSE(rows.has("target"));
  EXPECT_EQ(rows.input().size(0), 2);
  const auto keys = data.prediction_keys();
  EXPECT_EQ(keys.name, "id");
  EXPECT_EQ(keys.texts, (Names{"n1", "n2"}));
  EXPECT_TRUE(data.take_notes().empty());
}

TEST_F(TableDataModuleTest, a_missing_key_is_noted_unless_it_was_asked_for) {
  auto data = test_rows("age,plan,name\n50,a,x\n", fitted());
  data.setup(Stage::predict);
  EXPECT_EQ(data.prediction_keys().name, "");
  const auto notes = data.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(says(notes.front(), {"new.csv doesn't have the column 'id'", "Set key"}));
  TableDataModule named({.x = (folder_ / "new.csv").string(), .key = "name"});
  named.load_fitted_state(fitted());
  named.setup(Stage::predict);
  EXPECT_EQ(named.prediction_keys().texts, (Names{"x"}));
  TableDataModule wrong({.x = (folder_ / "new.csv").string(), .key = "number"});
  wrong.load_fitted_state(fitted());
  EXPECT_TRUE(says(message_of<DataError>([&] { wrong.setup(Stage::predict); }),
                   {"no column 'number' (key)"}));
}

TEST_F(TableDataModuleTest, unknown_values_can_be_ignored_after_training) {
  const auto state = fitted();
  const std::string text = "age,plan\n50,new\n";
  auto refused = test_rows(text, state);
  EXPECT_TRUE(says(message_of<DataError>([&] { refused.setup(Stage::predict); }),
                   {"new.csv, line 2, column 2 (plan)", "'new'", "unknown = ignore"}));
  TableDataModule data({.x = (folder_ / "new.csv").string(), .unknown = "ignore"});
  data.load_fitted_state(state);
  EXPECT_EQ(read_all(data.predict_dataloader()).input().slice(1, 1).abs().sum().item<float>(), 0);
  TableDataModule other({.x = (folder_ / "new.csv").string(), .unknown = "column"});
  other.load_fitted_state(state);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { other.setup(Stage::predict); }),
                   {"unknown = column", "'plan'", "train again"}));
}

TEST_F(TableDataModuleTest, its_own_state_changes_nothing) {
  TableDataModule data(options());
  const auto loader = data.train_dataloader();
  data.load_fitted_state(data.fitted_state().clone());
  EXPECT_EQ(&data.train_dataloader().front().dataset(), &loader.front().dataset());
}

TEST_F(TableDataModuleTest, settings_that_cannot_be_are_refused) {
  const auto refusal = [&](auto change, Stage stage = Stage::fit) {
    auto o = options();
    change(o);
    return message_of<ConfigError>([&] { TableDataModule(o).setup(stage); });
  };
  EXPECT_TRUE(says(refusal([](auto& o) { o.x = ""; }), {"x is empty"}));
  EXPECT_TRUE(says(refusal([](auto& o) { o.target = ""; }),
                   {"target is empty", "'id', 'age', 'plan', 'left'"}));
  EXPECT_TRUE(says(refusal([](auto& o) { o.missing = "avg"; }), {"missing = avg", "median"}));
  EXPECT_TRUE(says(refusal([](auto& o) { o.unknown = "ignored"; }), {"'ignored'", "ignore"}));
  EXPECT_TRUE(says(refusal([](auto& o) { o.dtype = "as_is"; }), {"dtype", "float32"}));
  EXPECT_TRUE(says(refusal([](auto& o) { o.target_type = "text"; }), {"text", "class"}));
  EXPECT_TRUE(says(refusal([](auto& o) {
                     o.target = "age";
                     o.missing_values = {};
                     o.target_type = "value";
                     o.stratify = true;
                   }),
                   {"stratify = true needs classes"}));
  TableDataModule alone({.x_test = file("new.csv", "age\n1\n")});
  for (const Stage stage : {Stage::test, Stage::predict}) {
    EXPECT_TRUE(says(message_of<ConfigError>([&] { alone.setup(stage); }),
                     {"nothing says how the columns of", "new.csv", "checkpoint"}));
  }
  TableDataModule other({.x = file("people.csv", kPeople), .target = "plan"});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { other.load_fitted_state(fitted()); }),
                   {"target is 'plan'", "trained to predict 'left'"}));
}

TEST_F(TableDataModuleTest, a_fit_of_a_single_class_is_refused_with_file_and_column) {
  for (const bool stream : {false, true}) {
    auto o = options("id,age,plan,left\np1,1,a,no\np2,2,b,no\np3,3,a,no\n");
    o.val_split = o.test_split = 0.0;
    o.stream = stream;
    TableDataModule data(o);
    EXPECT_TRUE(says(message_of<DataError>([&] { data.setup(Stage::fit); }),
                     {"people.csv", "'left'", "'no'", "two classes", "target_type = value"}));
  }
}

TEST_F(TableDataModuleTest, an_empty_set_and_a_rare_class_are_refused) {
  auto o = options();
  o.val_split = 0.01;
  o.test_split = 0.2;
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"val_split = 0.01 of 10 rows comes to 0 rows"}));
  auto rare = options(std::string(kPeople) + "p11,110,a,maybe\n");
  rare.stratify = true;
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(rare).setup(Stage::fit); }),
                   {"has 1 row", "stratify"}));
}

TEST_F(TableDataModuleTest, values_are_numbers_of_the_type_that_was_asked_for) {
  TableDataModuleOptions o;
  o.x = file("values.csv", "a,y\n1,0.5\n2,1.5\n3,2.5\n");
  o.target = "y";
  o.dtype = "float64";
  o.val_split = o.test_split = 0;
  TableDataModule data(o);
  const auto rows = read_all(data.predict_dataloader());
  EXPECT_EQ(rows.input().dtype(), torch::kDouble);
  EXPECT_EQ(read_all(data.train_dataloader()).target().dtype(), torch::kDouble);
  EXPECT_EQ(data.num_classes(), 0);
}

TEST_F(TableDataModuleTest, rows_that_may_have_been_trained_on_are_noted) {
  auto o = options();
  o.seed = 7;
  TableDataModule data(o);
  data.load_fitted_state(fitted());
  data.setup(Stage::test);
  const auto notes = data.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(says(notes.front(), {"seed = 7 (42)", "x_test"}));
}

TEST_F(TableDataModuleTest, a_resumed_fit_notes_settings_that_do_not_count) {
  auto o = options();
  o.missing = "0";
  o.standardize = false;
  TableDataModule data(o);
  data.load_fitted_state(fitted());
  data.setup(Stage::fit);
  data.setup(Stage::fit);
  const auto notes = data.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(says(notes.front(), {"as in the checkpoint", "missing = \"0\" (\"mean\")",
                                   "standardize = false (true)", "from the beginning"}));
  EXPECT_EQ(data.fitted_state().values, fitted().values);
  TableDataModule same(options());
  same.load_fitted_state(fitted());
  same.setup(Stage::fit);
  EXPECT_TRUE(same.take_notes().empty());
}

class TableTraining : public TableDataModuleTest {
 protected:
  static Trainer trainer(int64_t epochs, const std::filesystem::path& folder) {
    return Trainer({.max_epochs = epochs, .default_root_dir = folder.string()});
  }
  static LogisticRegression model() {
    seed_everything(3);
    return LogisticRegression({.in_features = 3, .num_classes = 2, .learning_rate = 0.1});
  }
};

TEST_F(TableTraining, a_resumed_fit_has_the_same_features_and_ends_with_the_same_bits) {
  auto whole = model();
  TableDataModule data(options());
  trainer(4, folder_ / "whole").fit(whole, data);

  auto half = model();
  TableDataModule first(options());
  auto halfway = trainer(2, folder_ / "half");
  halfway.fit(half, first);
  const auto path = folder_ / "half.ckpt";
  halfway.save_checkpoint(path);
  EXPECT_EQ(fitted_state(load_checkpoint(path)).values.at("table"),
            tables::to_value(first.fitted()));

  // The settings about columns come from the checkpoint, also if others are given.
  auto o = options();
  o.standardize = false;
  o.missing = "0";
  TableDataModule second(o);
  auto resumed = model();
  trainer(4, folder_ / "resumed").fit(resumed, second, path.string());
  EXPECT_EQ(second.fitted(), data.fitted());
  const auto expected = whole.parameters();
  const auto found = resumed.parameters();
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(test::same_bits(found[i], expected[i]));
}

TEST_F(TableTraining, a_checkpoint_predicts_for_a_file_of_other_columns) {
  auto trained = model();
  TableDataModule data(options());
  auto fitting = trainer(3, folder_ / "run");
  fitting.fit(trained, data);
  const auto path = folder_ / "end.ckpt";
  fitting.save_checkpoint(path);
  const auto expected = fitting.predict(trained, data);

  std::string reordered = "plan,id,age\n";
  const auto table = tables::TextTable::parse(kPeople, "people.csv");
  for (int64_t row = 0; row < table.rows(); ++row) {
    for (const size_t column : {2U, 0U}) reordered += std::string(table.cell(row, column)) + ',';
    reordered += std::string(table.cell(row, 1)) + '\n';
  }
  TableDataModule rows({.x = file("new.csv", reordered)});
  auto loaded = model();
  const auto found = trainer(1, folder_ / "predict").predict(loaded, rows, path.string());
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(test::same_bits(found[i].second, expected[i].second)) << found[i].first;
  }
  EXPECT_EQ(rows.prediction_keys().texts.back(), "p10");
}

}  // namespace levin::table_test
