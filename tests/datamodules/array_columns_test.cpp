// Several target columns, and the groups of rows, from CSV files.
#include <levin/datamodules/array.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/many_regressions.h>

namespace levin::array_columns_test {
namespace {

using test::message_of;
using test::TemporaryFolder;

constexpr const char* kRows =
    "store,a,late,b,returned\n"
    "0,0.5,1,2.5,0\n"
    "1,1.5,0,3.5,1\n"
    "0,-0.5,0,1.5,0\n"
    "1,2.5,1,0.5,1\n"
    "0,0.25,0,-2,1\n"
    "1,-1.5,1,4,0\n"
    "0,3,1,0,1\n"
    "1,2,0,1,0\n";

/// The only batch of an epoch.
Batch only_batch(const DataLoaders& loaders) {
  auto reader = loaders.front().open();
  Batch batch;
  EXPECT_TRUE(reader.next(batch));
  return batch;
}

std::string saved(const TemporaryFolder& folder, const std::string& name, std::string_view text) {
  const auto path = folder.path() / name;
  test::write_text(path, text);
  return path.string();
}

ArrayDataModuleOptions options_of(const std::string& file) {
  return {.x = file,
          .target_columns = {"returned", "late"},
          .group_column = "store",
          .batch_size = 8,
          .val_split = 0,
          .test_split = 0,
          .shuffle = false};
}

torch::Tensor floats(std::initializer_list<float> numbers) {
  return torch::tensor(std::vector<float>(numbers));
}

TEST(ArrayColumns, are_targets_and_groups_instead_of_features) {
  const TemporaryFolder folder;
  const auto file = saved(folder, "train.csv", kRows);
  for (const bool by_number : {false, true}) {
    auto options = options_of(file);
    if (by_number) {
      options.target_columns = {"-1", "2"};
      options.group_column = "0";
    }
    ArrayDataModule data(options);
    const auto batch = only_batch(data.train_dataloader());
    EXPECT_EQ(data.dims(), (std::vector<int64_t>{2}));
    EXPECT_TRUE(torch::equal(batch.input()[1], floats({1.5F, 3.5F})));
    EXPECT_TRUE(torch::equal(batch.target()[3], floats({1, 1})));
    EXPECT_TRUE(torch::equal(batch.target()[1], floats({1, 0})));
    EXPECT_TRUE(torch::equal(batch["group"], torch::arange(8).remainder(2)));
    const auto predict = only_batch(data.predict_dataloader());
    EXPECT_TRUE(torch::equal(predict["group"], torch::arange(8).remainder(2)));
    EXPECT_FALSE(predict.has("target"));
  }
}

TEST(ArrayColumns, are_found_by_name_in_other_files_and_may_lack_targets_to_predict) {
  const TemporaryFolder folder;
  const auto file = saved(folder, "train.csv", kRows);
  auto options = options_of(file);
  options.x_val = saved(folder, "val.csv", "b,returned,a,late,store\n7,1,8,0,1\n");
  ArrayDataModule data(options);
  const auto val = only_batch(data.val_dataloader());
  EXPECT_TRUE(torch::equal(val.input()[0], floats({8, 7})));
  EXPECT_TRUE(torch::equal(val.target()[0], floats({1, 0})));
  EXPECT_EQ(val["group"].item<int64_t>(), 1);
  const auto state = data.fitted_state();
  for (const char* text : {"b,store,a\n7,1,8\n", "late,b,store,a\n1,7,1,8\n"}) {
    auto other = options;
    other.x = saved(folder, "new.csv", text);
    other.x_val = {};
    ArrayDataModule rows(other);
    rows.load_fitted_state(state);
    const auto predict = only_batch(rows.predict_dataloader());
    EXPECT_TRUE(torch::equal(predict.input()[0], floats({8, 7}))) << text;
    EXPECT_EQ(predict["group"].item<int64_t>(), 1);
  }
}

TEST(ArrayColumns, train_many_regressions_of_groups_and_targets) {
  const TemporaryFolder folder;
  const auto file = saved(folder, "train.csv", kRows);
  ArrayDataModule data(options_of(file));
  ManyRegressions many({.groups = 2, .l2_strengths = {0.1}});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 50, .default_root_dir = folder.string()});
  const auto history = trainer.fit(many, data);
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
  EXPECT_EQ(many.named_parameters()["weight"].sizes(), (std::vector<int64_t>{4, 2}));
}

TEST(ArrayColumns, groups_whose_number_nobody_says_are_refused_with_it) {
  const TemporaryFolder folder;
  ArrayDataModule data(options_of(saved(folder, "train.csv", kRows)));
  ManyRegressions many({.l2_strengths = {0.1}});
  Trainer trainer({.accelerator = "cpu", .default_root_dir = folder.string()});
  const auto message = message_of<ConfigError>([&] { trainer.fit(many, data); });
  EXPECT_NE(message.find("set groups = 2 of the model"), std::string::npos) << message;
}

TEST(ArrayColumns, refuse_what_cannot_be) {
  const TemporaryFolder folder;
  const auto file = saved(folder, "train.csv", kRows);
  const auto refusal = [&](auto change) {
    return message_of<ConfigError>([&] {
      auto options = options_of(file);
      change(options);
      ArrayDataModule data(options);
      data.setup(Stage::fit);
    });
  };
  using Options = ArrayDataModuleOptions;
  EXPECT_NE(refusal([](Options& o) { o.target_columns = {"lost"}; }).find("its columns are"),
            std::string::npos);
  EXPECT_NE(refusal([](Options& o) { o.target_column = "late"; }).find("in target_columns"),
            std::string::npos);
  EXPECT_NE(refusal([](Options& o) { o.group_column = "late"; }).find("one of these roles"),
            std::string::npos);
  EXPECT_NE(refusal([](Options& o) { o.y = "y.csv"; }).find("leave one of them out"),
            std::string::npos);
  auto options = options_of(file);
  options.group_column = "a";
  ArrayDataModule data(options);
  EXPECT_NE(message_of<DataError>([&] { data.setup(Stage::fit); }).find("the group is 0.5"),
            std::string::npos);
}

}  // namespace
}  // namespace levin::array_columns_test
