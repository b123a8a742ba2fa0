#include <levin/datamodules/kfold.h>

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <sys/inotify.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/image_set.h>
#include <levin/datamodules/sparse.h>
#include <levin/datamodules/table.h>
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

/// The sum of the inputs of a loader's rows, after what its batches go through.
double sum_of(const DataLoaders& loaders) {
  double sum = 0;
  auto reader = loaders.front().open();
  for (Batch batch; reader.next(batch);) sum += batch.input().sum().item<double>();
  return sum;
}

// Mean and deviation are those of the training rows if these sum up to 0 when they are
// standardised; those of all rows would give another sum.
TEST(KFold, means_are_learned_from_the_rows_that_a_fold_trains_on) {
  for (const bool by_transform : {false, true}) {
    ArrayDataModuleOptions options{
        .batch_size = 8, .val_split = 0, .test_split = 0, .shuffle = false};
    options.standardize = !by_transform;
    if (by_transform) options.transforms = {"normalize"};
    auto data = rows(options);
    StateDict learned[2];
    for (int64_t fold = 0; fold < 2; ++fold) {
      SCOPED_TRACE(fold);
      KFoldDataModule folds(data, {.folds = 2, .fold = fold, .shuffle = false});
      folds.setup(Stage::fit);
      EXPECT_NEAR(sum_of(folds.train_dataloader()), 0.0, 1e-4);
      EXPECT_GT(std::abs(sum_of(folds.val_dataloader())), 10.0);
      EXPECT_TRUE(folds.take_notes().empty());
      learned[fold] = folds.fitted_state().clone();
    }
    KFoldDataModule first(data, {.folds = 2, .fold = 0, .shuffle = false});
    KFoldDataModule second(data, {.folds = 2, .fold = 1, .shuffle = false});
    first.setup(Stage::fit);
    second.setup(Stage::fit);
    EXPECT_NEAR(sum_of(first.train_dataloader()), 0.0, 1e-4) << "the other fold was set up since";
    first.load_fitted_state(learned[1]);
    first.setup(Stage::fit);
    EXPECT_NEAR(sum_of(first.val_dataloader()), 0.0, 1e-4) << "what was taken over counts";
    EXPECT_GT(std::abs(sum_of(first.train_dataloader())), 10.0);
  }
}

TEST(KFold, a_fit_after_another_folds_validation_learns_anew) {
  auto data = rows({.batch_size = 8,
                    .val_split = 0,
                    .test_split = 0,
                    .shuffle = false,
                    .transforms = {"normalize"}});
  for (int64_t fold = 0; fold < 2; ++fold) {
    KFoldDataModule folds(data, {.folds = 2, .fold = fold, .stratify = true, .shuffle = false});
    LogisticRegression model({.optimizer = "lbfgs"});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 2});
    trainer.fit(model, folds);
    EXPECT_NEAR(sum_of(folds.train_dataloader()), 0.0, 1e-4) << fold;
    trainer.validate(model, folds);
  }
}

TEST(KFold, the_values_of_a_tables_categories_are_those_of_the_training_rows) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "plans.csv";
  test::write_text(file,
                   "plan,size,churn\nold,1,0\nold,2,1\nnew,3,0\nbasic,5,1\nnew,7,0\nbasic,9,1\n");
  TableDataModule data({.x = file.string(),
                        .target = "churn",
                        .unknown = "ignore",
                        .standardize = true,
                        .val_split = 0,
                        .test_split = 0,
                        .shuffle = false});
  KFoldDataModule folds(data, {.folds = 3, .fold = 0, .shuffle = false});
  folds.setup(Stage::fit);
  EXPECT_EQ(data.feature_names(), (std::vector<std::string>{"plan=basic", "plan=new", "size"}));
  EXPECT_NEAR(sum_of(folds.train_dataloader()), 4.0, 1e-5) << "one category a row, sizes sum to 0";
  EXPECT_LT(sum_of(folds.val_dataloader()), -2.0);
}

/// Counts how often a file is opened.
class Opened {
 public:
  explicit Opened(const std::filesystem::path& file) : events_(::inotify_init1(IN_NONBLOCK)) {
    // Events of closing keep those of opening apart; equal ones in succession are one.
    EXPECT_GE(::inotify_add_watch(events_, file.c_str(), IN_OPEN | IN_CLOSE), 0);
  }
  ~Opened() { ::close(events_); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  int since_last() {
    int count = 0;
    inotify_event event{};  // of a file, which has no name
    while (::read(events_, &event, sizeof(event)) == sizeof(event)) {
      if ((event.mask & IN_OPEN) != 0) ++count;
    }
    return count;
  }

 private:
  int events_;
};

TEST(KFold, a_table_is_read_once_for_all_folds) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "plans.csv";
  test::write_text(file, "plan,size,churn\na,1,0\nb,2,1\na,3,0\nc,5,1\nc,7,0\nb,9,1\n");
  const auto options = TableDataModuleOptions{.x = file.string(),
                                              .target = "churn",
                                              .unknown = "ignore",
                                              .standardize = true,
                                              .val_split = 0,
                                              .test_split = 0,
                                              .shuffle = false};
  Opened opened(file);
  TableDataModule shared(options);
  for (int64_t fold = 0; fold < 3; ++fold) {
    SCOPED_TRACE(fold);
    KFoldDataModule folds(shared, {.folds = 3, .fold = fold, .shuffle = false});
    folds.setup(Stage::fit);
    const double found = sum_of(folds.val_dataloader());
    EXPECT_EQ(opened.since_last(), fold == 0 ? 1 : 0);
    TableDataModule alone(options);
    KFoldDataModule same(alone, {.folds = 3, .fold = fold, .shuffle = false});
    same.setup(Stage::fit);
    EXPECT_EQ(sum_of(same.val_dataloader()), found);
    EXPECT_EQ(opened.since_last(), 1);
  }
}

/// Twelve images of one pixel, without files.
class CountedImages : public ImageFiles {
 public:
  void obtain(const std::filesystem::path&, const std::vector<std::string>&, bool) const override {}
  LabelledImages load(const std::filesystem::path&, bool) const override {
    ++loads;
    return {torch::arange(12, torch::kByte).view({12, 1, 1, 1}), torch::arange(12) % 2};
  }
  mutable int loads = 0;
};

TEST(KFold, images_are_read_once_for_all_folds_that_standardize_them) {
  struct Images : ImageSetDataModule {
    explicit Images(const std::shared_ptr<const ImageFiles>& files)
        : ImageSetDataModule({.key = "dots", .train_rows = 12, .shape = {1, 1, 1}, .files = files},
                             {.data_dir = "nowhere", .val_split = 0, .standardize = true},
                             {.batch_size = 4}) {}
  };
  const auto files = std::make_shared<CountedImages>();
  Images shared(files);
  for (int64_t fold = 0; fold < 3; ++fold) {
    SCOPED_TRACE(fold);
    KFoldDataModule folds(shared, {.folds = 3, .fold = fold, .shuffle = false});
    folds.setup(Stage::fit);
    EXPECT_NEAR(sum_of(folds.train_dataloader()), 0.0, 1e-4);
    EXPECT_EQ(files->loads, 1);
  }
}

TEST(KFold, deviations_of_sparse_rows_are_those_of_the_training_rows) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "rows.svm";
  test::write_text(file, "0 1:8\n1 1:-8\n0 1:1\n1 1:-1\n");
  SparseDataModule data({.train = {file.string()}, .standardize = true, .shuffle = false});
  KFoldDataModule folds(data, {.folds = 2, .fold = 0, .shuffle = false});
  folds.setup(Stage::fit);
  const auto expect = [&](const DataLoaders& loaders, double value) {
    auto reader = loaders.front().open();
    Batch batch;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_EQ(batch.input().to_dense()[0][0].item<double>(), value);
  };
  expect(folds.train_dataloader(), 1.0);
  expect(folds.val_dataloader(), 8.0);
}

TEST(KFold, folds_within_a_fold_learn_from_the_rows_of_both) {
  auto data = rows({.batch_size = 8, .val_split = 0, .test_split = 0, .standardize = true});
  KFoldDataModule outer(data, {.folds = 2, .fold = 1});
  KFoldDataModule inner(outer, {.folds = 2, .fold = 0});
  inner.setup(Stage::fit);
  EXPECT_EQ(inner.train_dataloader().front().dataset().size(), 5);
  EXPECT_NEAR(sum_of(inner.train_dataloader()), 0.0, 1e-4);
}

TEST(KFold, data_that_learn_from_all_folds_in_any_case_are_noted) {
  struct Learned : DataModule {
    DataLoaders train_dataloader() override {
      return DataLoader(std::make_shared<TensorDataset>(torch::ones({4, 1}), torch::ones({4})), {});
    }
    StateDict fitted_state() override { return {.tensors = {{"mean", torch::ones({1})}}}; }
  } data;
  KFoldDataModule folds(data, {.folds = 2});
  folds.setup(Stage::fit);
  folds.setup(Stage::fit);
  const auto notes = folds.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_SAYS(notes[0], "Derive Learned from LearnsFromRows");
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
  const auto inner_settings = data->hyper_parameters().at("data").as_array().at(0);
  EXPECT_EQ(inner_settings.at("name"), Value("IrisDataModule"));
  EXPECT_EQ(inner_settings.at("val_split"), Value(0.0));
  EXPECT_SAYS(message_of<ConfigError>(
                  [&] { classes.datamodules.make("KFoldDataModule", Value::Object{}); }),
              "name the one that is wrapped");
}

}  // namespace levin::kfold_test
