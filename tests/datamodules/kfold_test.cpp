#include <levin/datamodules/kfold.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

namespace levin::kfold_test {

using test::message_of;

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

/// 20 rows whose input is their number; 12 of class 0, then 8 of class 1.
ArrayDataModule rows(ArrayDataModuleOptions options = {
                         .batch_size = 8, .val_split = 0, .test_split = 0, .shuffle = false}) {
  const auto x = torch::arange(20, torch::kFloat).view({20, 1});
  return ArrayDataModule(x, (x.flatten() >= 12).to(torch::kLong), std::move(options));
}

std::vector<int64_t> numbers(const DataLoaders& loaders) {
  std::vector<int64_t> seen;
  auto reader = loaders.front().open();
  for (Batch batch; reader.next(batch);) {
    const auto input = batch.input().flatten().to(torch::kLong);
    for (int64_t i = 0; i < input.numel(); ++i) seen.push_back(input[i].item<int64_t>());
  }
  return seen;
}

TEST(KFold, every_row_is_validated_on_once_and_trained_on_otherwise) {
  auto data = rows();
  for (const bool stratify : {false, true}) {
    std::multiset<int64_t> validated;
    for (int64_t fold = 0; fold < 4; ++fold) {
      KFoldDataModule folds(data, {.folds = 4, .fold = fold, .stratify = stratify});
      folds.setup(Stage::fit);
      EXPECT_TRUE(folds.take_notes().empty());
      const auto val = numbers(folds.val_dataloader());
      auto all = numbers(folds.train_dataloader());
      EXPECT_EQ(val.size(), 5U);
      EXPECT_EQ(all.size(), 15U);
      if (stratify) {
        EXPECT_EQ(std::count_if(val.begin(), val.end(), [](auto i) { return i < 12; }), 3);
      }
      validated.insert(val.begin(), val.end());
      all.insert(all.end(), val.begin(), val.end());
      EXPECT_EQ(std::set<int64_t>(all.begin(), all.end()).size(), 20U);
    }
    EXPECT_EQ(validated.size(), 20U);
    EXPECT_EQ(std::set<int64_t>(validated.begin(), validated.end()).size(), 20U);
  }
}

// sklearn.model_selection.KFold(3) and StratifiedKFold(4) of these rows.
TEST(KFold, without_shuffling_folds_are_those_of_scikit_learn) {
  auto data = rows();
  KFoldDataModule second(data, {.folds = 3, .fold = 1, .shuffle = false});
  EXPECT_EQ(numbers(second.val_dataloader()), (std::vector<int64_t>{7, 8, 9, 10, 11, 12, 13}));
  KFoldDataModule third(data, {.folds = 4, .fold = 2, .stratify = true, .shuffle = false});
  EXPECT_EQ(numbers(third.val_dataloader()), (std::vector<int64_t>{6, 7, 8, 16, 17}));
}

TEST(KFold, the_seed_decides_which_rows_are_in_a_fold) {
  auto data = rows();
  const auto fold = [&](int64_t seed) {
    KFoldDataModule folds(data, {.fold = 1, .seed = seed});
    return numbers(folds.val_dataloader());
  };
  EXPECT_EQ(fold(1), fold(1));
  EXPECT_NE(fold(1), fold(2));
}

TEST(KFold, validation_keeps_the_order_and_the_last_batch_and_is_not_augmented) {
  auto data = rows({.batch_size = 3,
                    .val_split = 0,
                    .test_split = 0,
                    .drop_last = true,
                    .transforms = {"normalize"}});
  KFoldDataModule folds(data, {.folds = 4});
  const auto train = folds.train_dataloader();
  const auto val = folds.val_dataloader();
  EXPECT_TRUE(train.front().options().shuffle);
  EXPECT_TRUE(train.front().options().augment);
  EXPECT_FALSE(val.front().options().shuffle);
  EXPECT_FALSE(val.front().options().drop_last);
  EXPECT_FALSE(val.front().options().augment);
  EXPECT_TRUE(val.front().options().transform);
  EXPECT_EQ(folds.fitted_state().values.at("transforms").as_array().size(), 1U);
}

TEST(KFold, what_cannot_be_divided_is_refused_or_noted) {
  auto data = rows();
  EXPECT_SAYS(message_of<ConfigError>([&] { KFoldDataModule(data, {.folds = 1}); }),
              "folds = 1: must be at least 2");
  EXPECT_SAYS(message_of<ConfigError>([&] { KFoldDataModule(data, {.folds = 3, .fold = 3}); }),
              "fold = 3: must be from 0 to 2");
  KFoldDataModule many(data, {.folds = 21});
  EXPECT_SAYS(message_of<ConfigError>([&] { many.train_dataloader(); }), "21 folds of 20");
  KFoldDataModule of_classes(data, {.folds = 9, .stratify = true});
  EXPECT_SAYS(message_of<ConfigError>([&] { of_classes.train_dataloader(); }), "class of 8");
  auto sampled = rows({.val_split = 0, .test_split = 0, .sampling = "balanced"});
  KFoldDataModule drawn(sampled);
  EXPECT_SAYS(message_of<ConfigError>([&] { drawn.train_dataloader(); }), "sampling");
  auto with_val = rows({.val_split = 0.2, .test_split = 0});
  KFoldDataModule noted(with_val);
  noted.setup(Stage::fit);
  noted.setup(Stage::fit);
  const auto notes = noted.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_SAYS(notes[0], "Set its val_split to 0");
}

TEST(KFold, a_model_trains_and_validates_on_each_fold) {
  auto data = rows();
  double rows_right = 0;
  for (int64_t fold = 0; fold < 4; ++fold) {
    KFoldDataModule folds(data, {.folds = 4, .fold = fold, .stratify = true});
    LogisticRegression model({.optimizer = "lbfgs"});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 50});
    trainer.fit(model, folds);
    rows_right += 5 * trainer.validate(model, folds).at("val_acc");
  }
  EXPECT_GE(rows_right, 18) << "all but rows at the border of the two classes";
}

TEST(KFold, is_made_by_name_around_another_data_module) {
  const auto classes = shipped_classes();
  const auto inner =
      Value::Object{{"name", "IrisDataModule"}, {"val_split", 0.0}, {"test_split", 0.0}};
  const auto data = classes.datamodules.make(
      "KFoldDataModule",
      Value::Object{{"data", Value::Array{inner}}, {"folds", 10}, {"stratify", true}});
  EXPECT_EQ(data->train_dataloader().front().dataset().size(), 135);
  EXPECT_EQ(data->val_dataloader().front().dataset().size(), 15);
  EXPECT_EQ(data->class_names().size(), 3U);
  EXPECT_EQ(data->hyper_parameters().at("data").at("val_split"), Value(0.0));
  EXPECT_SAYS(message_of<ConfigError>(
                  [&] { classes.datamodules.make("KFoldDataModule", Value::Object{}); }),
              "name the one that is wrapped");
}

}  // namespace levin::kfold_test
