#include <levin/datamodules/table.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "framework/support.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/datamodules/tables/fit_table.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/logistic_regression.h>

// TableDataModule with stream = true: the same as in memory, but by blocks.

namespace levin::table_stream_test {

using test::message_of;
using test::read_all;
using test::same_bits;
using test::says;
using test::TemporaryFolder;
using test::write_text;
using Names = std::vector<std::string>;

class TableStreamTest : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    write_text(folder_ / name, text);
    return (folder_ / name).string();
  }
  /// Rows with a number `n` that is their own, for row 0 on.
  std::string numbered(int64_t rows) const {
    std::string text = "n,c,w,y\n";
    for (int64_t i = 0; i < rows; ++i) {
      text += fmt::format("{},{},{},{}\n", i, "abc"[i % 3], 1 + i % 4, i % 5 == 0 ? "yes" : "no");
    }
    return file("numbered.csv", text);
  }
  static TableDataModuleOptions churn(bool stream) {
    TableDataModuleOptions o;
    o.x = LEVIN_SOURCE_DIR "/examples/data/churn.csv";
    o.target = "churn";
    o.key = "customer";
    o.exclude = {"signup", "comment"};
    o.missing = "median";
    o.missing_in = {"payment=category"};
    o.missing_indicator = o.standardize = true;
    o.min_count = 5;
    o.unknown = "ignore";
    o.shuffle = false;
    o.stream = stream;
    return o;
  }
  static LogisticRegression model() {
    seed_everything(3);
    return LogisticRegression({.learning_rate = 0.1, .class_weight = "balanced"});
  }
  Trainer trainer(int64_t epochs, const std::string& name, int64_t steps = -1) const {
    return Trainer(
        {.max_epochs = epochs, .max_steps = steps, .default_root_dir = (folder_ / name).string()});
  }
  TemporaryFolder folder_;
};

void expect_same_parameters(Module& found, Module& expected) {
  const auto a = found.parameters();
  const auto b = expected.parameters();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i]));
}

TEST_F(TableStreamTest, has_the_bits_of_a_table_in_memory) {
  for (const char* dtype : {"float32", "float64"}) {
    auto o = churn(false);
    o.dtype = dtype;
    TableDataModule memory(o);
    o.stream = true;
    o.num_workers = 2;
    TableDataModule stream(o);
    const auto expect_same = [](const DataLoaders& found, const DataLoaders& expected) {
      const auto a = read_all(found);
      const auto b = read_all(expected);
      EXPECT_TRUE(same_bits(a.input(), b.input()));
      ASSERT_EQ(a.has("target"), b.has("target"));
      if (a.has("target")) {
        EXPECT_TRUE(same_bits(a.target(), b.target()));
      }
    };
    expect_same(stream.train_dataloader(), memory.train_dataloader());
    expect_same(stream.val_dataloader(), memory.val_dataloader());
    expect_same(stream.test_dataloader(), memory.test_dataloader());
    expect_same(stream.predict_dataloader(), memory.predict_dataloader());
    EXPECT_EQ(stream.fitted(), memory.fitted());
    EXPECT_EQ(stream.fitted_state().values, memory.fitted_state().values);
    EXPECT_EQ(stream.class_names(), memory.class_names());
    const auto keys = memory.prediction_keys().texts;
    EXPECT_EQ(stream.prediction_keys().of(0, 1000), keys);
    EXPECT_EQ(stream.prediction_keys().of(7, 2), Names(keys.begin() + 7, keys.begin() + 9));
  }
}

TEST_F(TableStreamTest, draws_each_row_for_one_set_by_the_seed_and_fits_the_training_rows_alone) {
  TableDataModuleOptions o{.x = numbered(3000), .target = "y", .val_split = 0.2};
  o.standardize = true;
  o.stream = true;
  const auto rows_of = [&](const DataLoaders& loaders, const tables::FittedTable& fitted) {
    const auto n =
        read_all(loaders).input().select(1, 0).to(torch::kDouble) * fitted.columns[0].scale +
        fitted.columns[0].mean;
    const auto whole = n.round().to(torch::kLong);
    return std::vector<int64_t>(whole.data_ptr<int64_t>(),
                                whole.data_ptr<int64_t>() + whole.numel());
  };
  TableDataModule data(o);
  const auto train = rows_of(data.train_dataloader(), data.fitted());
  const auto val = rows_of(data.val_dataloader(), data.fitted());
  const auto test = rows_of(data.test_dataloader(), data.fitted());
  EXPECT_FALSE(std::is_sorted(train.begin(), train.end()));
  EXPECT_TRUE(std::is_sorted(val.begin(), val.end()));
  EXPECT_NEAR(static_cast<double>(val.size()), 600.0, 80.0);
  EXPECT_NEAR(static_cast<double>(test.size()), 300.0, 60.0);
  auto all = train;
  all.insert(all.end(), val.begin(), val.end());
  all.insert(all.end(), test.begin(), test.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 3000U);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<int64_t>(i));
  Names notes;
  tables::TableSettings settings{.target = "y", .missing_values = o.missing_values};
  settings.standardize = true;
  settings.hash_columns = o.hash_columns;
  EXPECT_EQ(data.fitted(), tables::fit_table(tables::TextTable::read(o.x), train, settings, notes));
  TableDataModule same(o);
  EXPECT_EQ(rows_of(same.val_dataloader(), same.fitted()), val);
  o.seed = 43;
  TableDataModule other(o);
  EXPECT_NE(rows_of(other.val_dataloader(), other.fitted()), val);
  other.load_fitted_state(data.fitted_state());
  other.setup(Stage::test);
  const auto noted = other.take_notes();
  ASSERT_EQ(noted.size(), 1U);
  EXPECT_TRUE(says(noted.front(), {"seed = 43 (42)"}));
  o.seed = 42;
  o.stream = false;
  TableDataModule memory(o);  // which divides the rows in another way
  memory.load_fitted_state(data.fitted_state());
  memory.setup(Stage::test);
  EXPECT_TRUE(says(memory.take_notes().at(0), {"stream = false (true)"}));
}

TEST_F(TableStreamTest, trains_to_the_bits_of_a_table_in_memory_with_weights_and_balanced_classes) {
  TableDataModuleOptions o{.x = numbered(200), .target = "y", .weights = "w", .shuffle = false};
  o.standardize = true;
  auto in_memory = model();
  TableDataModule memory(o);
  trainer(2, "memory").fit(in_memory, memory);
  o.stream = true;
  auto streamed = model();
  TableDataModule stream(o);
  auto fitting = trainer(2, "stream");
  fitting.fit(streamed, stream);
  EXPECT_EQ(stream.num_features(), 4);  // the weights are none
  EXPECT_NEAR(*stream.mean_weight(), 2.5, 0.1);
  expect_same_parameters(streamed, in_memory);

  // A checkpoint of either is used by the other.
  const auto path = folder_ / "end.ckpt";
  fitting.save_checkpoint(path);
  const auto expected = fitting.predict(streamed, stream);
  TableDataModule rows({.x = o.x});
  auto loaded = model();
  const auto found = trainer(1, "predict").predict(loaded, rows, path.string());
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(same_bits(found[i].second, expected[i].second)) << found[i].first;
  }
  // In parts, nothing is kept.
  std::vector<torch::Tensor> parts;
  fitting.predict(streamed, stream,
                  [&](const NamedTensors& part) { parts.push_back(part.back().second.clone()); });
  EXPECT_GT(parts.size(), 1U);
  EXPECT_TRUE(same_bits(torch::cat(parts), expected.back().second));
}

TEST_F(TableStreamTest, a_fit_resumed_in_an_epoch_ends_with_the_bits_of_one_that_went_through) {
  TableDataModuleOptions o{.x = numbered(300), .target = "y", .batch_size = 16};
  o.stream = true;
  o.shuffle_rows = 64;
  auto whole = model();
  TableDataModule data(o);
  trainer(2, "whole").fit(whole, data);
  for (const int64_t stop : {1, 7, 20}) {
    auto half = model();
    TableDataModule first(o);
    auto halfway = trainer(2, "half", stop);
    halfway.fit(half, first);
    ASSERT_EQ(halfway.run().global_step(), stop);
    halfway.save_checkpoint(folder_ / "half.ckpt");
    auto resumed = model();
    o.num_workers = 2;
    TableDataModule second(o);
    trainer(2, "resumed").fit(resumed, second, (folder_ / "half.ckpt").string());
    o.num_workers = 0;
    expect_same_parameters(resumed, whole);
  }
}

TEST_F(TableStreamTest, has_the_memory_of_a_few_blocks_however_long_the_file_is) {
  std::string text = "c,y\n";
  for (int i = 0; i < 4000; ++i) text += fmt::format("{},{}\n", i % 1000, i % 2);
  TableDataModuleOptions o{.x = file("wide.csv", text), .target = "y"};
  o.hashed = {"c"};
  o.hash_columns = 4096;  // 16 KiB a row
  o.val_split = o.test_split = 0.0;
  o.stream = true;
  o.shuffle_rows = 1;  // a block
  TableDataModule data(o);
  const auto loaders = data.train_dataloader();
  const auto& rows = dynamic_cast<const ShardedDataset&>(loaders.front().dataset());
  ASSERT_GE(rows.table().blocks(), 15);
  EXPECT_LE(rows.table().block_bytes(), int64_t{4} << 20);
  auto reader = loaders.front().open();
  int64_t count = 0;
  for (Batch batch; reader.next(batch);) count += batch.rows();
  EXPECT_EQ(count, 4000);
  EXPECT_LE(rows.blocks_in_memory(), 5);  // three windows, one being read, and one in a batch
}

TEST_F(TableStreamTest, cells_that_cannot_be_used_are_refused_with_line_and_column) {
  TableDataModuleOptions o{.x = numbered(20), .target = "y"};
  o.exclude = {"w"};
  o.val_split = o.test_split = 0.0;
  o.x_val = file("val.csv", "n,c,y\n1,a,no\n2,new,no\n");
  o.stream = true;
  TableDataModule data(o);
  for (int i = 0; i < 2; ++i) {  // before a fit begins, and when the rows are read
    EXPECT_TRUE(says(message_of<DataError>([&] {
                       if (i == 0) data.setup(Stage::fit);
                       read_all(data.val_dataloader());
                     }),
                     {"val.csv, line 3, column 2 (c)", "'new'", "unknown = ignore"}));
  }
  o.x_val = file("val.csv", "n,c,y\n1,a,maybe\n");
  TableDataModule other(o);
  EXPECT_TRUE(says(message_of<DataError>([&] { read_all(other.val_dataloader()); }),
                   {"val.csv, line 2, column 3 (y)", "no training row has the class 'maybe'"}));
  o.x_val = {};
  o.weights = "c";
  TableDataModule weighted(o);
  EXPECT_TRUE(says(message_of<DataError>([&] { weighted.setup(Stage::fit); }),
                   {"numbered.csv, line", "column 2 (c)", "the weight", "0 or more"}));
  o.stream = false;
  o.weights = "n";
  o.exclude = {};
  o.x = file("negative.csv", "n,c,y\n1,a,no\n-2,b,yes\n3,a,no\n");
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"negative.csv, line 3, column 1 (n)", "'-2'"}));
}

TEST_F(TableStreamTest, settings_that_cannot_be_are_refused) {
  TableDataModuleOptions o{.x = numbered(20), .target = "y"};
  o.shuffle_rows = 5;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { TableDataModule{o}; }),
                   {"shuffle_rows without stream = true"}));
  o.stream = true;
  o.stratify = true;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { TableDataModule{o}; }),
                   {"stream = true can't go with stratify = true", "x_val"}));
  o.stratify = false;
  o.target = {};
  EXPECT_TRUE(says(message_of<ConfigError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"target is empty", "'n', 'c', 'w', 'y'"}));
  o.target = "y";
  o.val_split = 0.001;
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"val_split = 0.001", "none of the 20 rows was drawn"}));
}

}  // namespace levin::table_stream_test
