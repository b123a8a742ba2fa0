#include <levin/framework/config/load_datamodule.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/kfold.h>
#include <levin/datamodules/table.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

// Data modules that are made again from the checkpoint of the module that was trained on them.

namespace levin::load_datamodule_test {

using test::message_of;
using test::says;
using test::TemporaryFolder;
using test::write_text;

class LoadDataModule : public ::testing::Test {
 protected:
  std::string file(const std::string& name, std::string_view text) const {
    write_text(folder_.path() / name, text);
    return (folder_.path() / name).string();
  }
  /// The checkpoint of a short fit.
  std::filesystem::path fit(DataModule& data) {
    LogisticRegression model({});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
    trainer.fit(model, data);
    const auto path = folder_.path() / "fitted.ckpt";
    trainer.save_checkpoint(path);
    return path;
  }
  TemporaryFolder folder_;
  std::string rows_ = file("rows.csv", "a,b,kind\n1,2,cat\n3,5,dog\n4,1,cat\n9,2,dog\n");
  ArrayDataModuleOptions options_{.x = rows_,
                                  .batch_size = 3,
                                  .val_split = 0,
                                  .test_split = 0.25,
                                  .seed = 5,
                                  .standardize = true};
};

torch::Tensor first_inputs(const DataLoaders& loaders) {
  auto reader = loaders.front().open();
  Batch batch;
  EXPECT_TRUE(reader.next(batch));
  return batch.input().clone();
}

TEST_F(LoadDataModule, has_the_class_the_settings_and_what_it_had_learned) {
  ArrayDataModule data(options_);
  const auto path = fit(data);
  const auto loaded = load_datamodule(shipped_classes(), path);
  EXPECT_NE(dynamic_cast<ArrayDataModule*>(loaded.get()), nullptr);
  EXPECT_EQ(loaded->hyper_parameters(), data.hyper_parameters());
  EXPECT_EQ(loaded->class_names(), data.class_names());
  EXPECT_TRUE(
      torch::equal(first_inputs(loaded->test_dataloader()), first_inputs(data.test_dataloader())));
}

TEST_F(LoadDataModule, other_files_are_read_with_what_was_learned) {
  ArrayDataModule data(options_);
  const auto path = fit(data);
  const auto other = file("new.csv", "b,kind,a\n2,dog,9\n2,cat,1\n");
  const auto loaded = load_datamodule<ArrayDataModule>(path, [&](auto& options) {
    options.x = "";
    options.x_test = other;
  });
  const auto mean = data.fitted_state();
  auto same = ArrayDataModule({.x_test = other});
  same.load_fitted_state(mean);
  EXPECT_TRUE(
      torch::equal(first_inputs(loaded->test_dataloader()), first_inputs(same.test_dataloader())));
  EXPECT_EQ(loaded->class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(load_datamodule<ArrayDataModule>(path)->hyper_parameters(), data.hyper_parameters());
}

TEST_F(LoadDataModule, one_that_wraps_another_is_made_around_it_again) {
  TableDataModule table({.x = rows_, .target = "kind", .val_split = 0, .test_split = 0});
  KFoldDataModule data(table, {.folds = 2, .fold = 1, .stratify = true});
  const auto loaded = load_datamodule(shipped_classes(), fit(data));
  EXPECT_EQ(loaded->hyper_parameters(), data.hyper_parameters());
  EXPECT_TRUE(
      torch::equal(first_inputs(loaded->val_dataloader()), first_inputs(data.val_dataloader())));
}

TEST_F(LoadDataModule, refusals_name_the_file_and_what_to_do) {
  ArrayDataModule tensors(torch::rand({8, 2}), torch::arange(8).remainder(2),
                          {.val_split = 0, .test_split = 0});
  const auto path = fit(tensors);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { load_datamodule(shipped_classes(), path); }),
                   {"fitted.ckpt", "name the file"}));
  Registry none;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { load_datamodule(none, path); }),
                   {"fitted.ckpt", "ArrayDataModule"}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { load_datamodule<TableDataModule>(path); }),
                   {"fitted.ckpt"}));
  const auto weights = folder_.path() / "weights.ckpt";
  save_checkpoint(weights, {.tensors = {{"w", torch::ones({1})}}});
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { load_datamodule(shipped_classes(), weights); }),
           {"weights.ckpt", "doesn't say what its data were"}));
}

}  // namespace levin::load_datamodule_test
