#include <levin/datamodules/standardization.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "models/support.h"

#include <cmath>
#include <cstdlib>
#include <numeric>

#include <levin/datamodules/array.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/mnist.h>
#include <levin/framework/core/error.h>

// Features are standardised by mean and deviation of the training rows, which the fitted state
// hands to other processes; and rows have weights.

namespace levin::standardization_test {

using test::baseline;
using test::message_of;
using test::read_all;
using test::says;
using test::TemporaryFolder;
using test::tensor_of;
using test::write_text;

std::vector<int64_t> first_rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(Standardization, is_that_of_scikit_learn_and_leaves_constant_features_their_unit) {
  const Value& expect = baseline("regression").at("standardized");
  const auto x = tensor_of(expect.at("x"));
  const auto found = Standardization::of(x, first_rows(expect.at("rows").as_int()));
  EXPECT_TENSORS_NEAR(found.mean, tensor_of(expect.at("mean")), 1e-14);
  EXPECT_TENSORS_NEAR(found.deviation, tensor_of(expect.at("deviation")), 1e-14);
  EXPECT_TENSORS_NEAR(found.apply(x), tensor_of(expect.at("result")), 1e-12);
  EXPECT_EQ(found.deviation[4].item<double>(), 1.0);
}

TEST(Standardization, of_many_rows_is_computed_in_parts_and_keeps_the_digits_of_large_means) {
  torch::manual_seed(1);
  const auto x = torch::randn({3000, 700}) * 0.5 + 4096.0;
  const auto all = Standardization::of(x, first_rows(3000));
  const auto exact = x.to(torch::kDouble);
  EXPECT_TENSORS_NEAR(all.mean, exact.mean(0), 1e-9);
  EXPECT_TENSORS_NEAR(all.deviation, exact.std(0, /*unbiased=*/false), 1e-9);
  const auto result = all.apply(x);
  EXPECT_EQ(result.scalar_type(), torch::kFloat);
  EXPECT_TENSORS_NEAR(result, (exact - exact.mean(0)) / exact.std(0, false), 1e-5);
  EXPECT_EQ(all.apply(x.to(torch::kInt)).scalar_type(), torch::kFloat);
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     all.apply(torch::ones({2, 3}), "x_test");
                   }),
                   {"x_test", "[3]", "[700]"}));
}

/// Rows whose features differ, with the options given.
ArrayDataModule data_of(bool standardize) {
  torch::manual_seed(2);
  const auto x = torch::randn({40, 3}) * torch::tensor({1.0F, 20.0F, 0.1F}) + 5.0;
  return ArrayDataModule(x, torch::arange(40).remainder(2),
                         {.batch_size = 8, .shuffle = false, .standardize = standardize});
}

torch::Tensor inputs(const DataLoaders& loaders) { return read_all(loaders).input(); }

TEST(ArrayDataModuleStandardize, takes_mean_and_deviation_of_the_training_rows_alone) {
  auto plain = data_of(false);
  auto data = data_of(true);
  const auto train = inputs(plain.train_dataloader());
  const auto mean = train.mean(0);
  const auto deviation = train.std(0, /*unbiased=*/false);
  const auto expect = [&](const DataLoaders& given, const DataLoaders& raw) {
    EXPECT_TENSORS_NEAR(inputs(given), (inputs(raw) - mean) / deviation, 1e-5);
  };
  expect(data.train_dataloader(), plain.train_dataloader());
  expect(data.val_dataloader(), plain.val_dataloader());
  expect(data.test_dataloader(), plain.test_dataloader());
  expect(data.predict_dataloader(), plain.predict_dataloader());
  EXPECT_NEAR(inputs(data.train_dataloader()).mean(0).abs().max().item<double>(), 0.0, 1e-5);
  EXPECT_GT(inputs(data.test_dataloader()).mean(0).abs().max().item<double>(), 0.01);
}

TEST(ArrayDataModuleStandardize, is_done_to_other_files_by_the_state_whatever_the_option_is) {
  TemporaryFolder folder;
  std::string text = "a,b,target\n";
  for (int i = 0; i < 20; ++i) {
    text += std::to_string(i) + "," + std::to_string(100 - 3 * i) + "," + std::to_string(i % 2);
    text += "\n";
  }
  write_text(folder / "train.csv", text);
  write_text(folder / "new.csv", "b,a,target\n40,9.5,1\n71.5,30,0\n");
  ArrayDataModule train(
      {.x = (folder / "train.csv").string(), .val_split = 0, .test_split = 0, .standardize = true});
  train.setup(Stage::fit);
  const auto state = train.fitted_state();
  const double deviation = std::sqrt((20.0 * 20.0 - 1.0) / 12.0);  // of 0 ... 19
  const auto expected =
      torch::tensor({{0.0, (40 - 71.5) / (3 * deviation)}, {20.5 / deviation, 0.0}});
  for (const bool option : {false, true}) {
    ArrayDataModule data({.x_test = (folder / "new.csv").string(), .standardize = option});
    data.load_fitted_state(state);
    data.setup(Stage::predict);
    EXPECT_TENSORS_NEAR(inputs(data.predict_dataloader()), expected, 1e-6);
    data.setup(Stage::test);
    EXPECT_TENSORS_NEAR(inputs(data.test_dataloader()), expected, 1e-6);
    EXPECT_TRUE(Standardization::load(data.fitted_state()) == Standardization::load(state));
  }
}

TEST(ArrayDataModuleStandardize, is_refused_if_the_model_was_trained_without_it) {
  auto plain = data_of(false);
  plain.setup(Stage::fit);
  auto data = data_of(true);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { data.load_fitted_state(plain.fitted_state()); }),
                   {"trained on features that weren't standardised", "set standardize = false"}));
}

TEST(ArrayDataModuleStandardize, needs_training_rows) {
  ArrayDataModule data(torch::randn({4, 2}), {}, {.standardize = true});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { data.setup(Stage::predict); }),
                   {"standardize = true without training rows"}));
}

TEST(ArrayDataModuleStandardize, is_an_option_of_iris_and_digits) {
  IrisDataModule iris({.standardize = true});
  const auto x = inputs(iris.train_dataloader());
  EXPECT_NEAR(x.std(0, false).sub(1).abs().max().item<double>(), 0.0, 1e-5);
  DigitsDataModule digits({.standardize = true});
  const auto pixels = inputs(digits.train_dataloader());
  EXPECT_NEAR(pixels.mean(0).abs().max().item<double>(), 0.0, 1e-5);
  EXPECT_FALSE(pixels.isnan().any().item<bool>());  // some pixels are always 0
}

TEST(MNISTStandardize, is_done_by_the_training_images_also_in_another_process) {
  const char* folder = std::getenv("MNIST_DIR");
  if (folder == nullptr) GTEST_SKIP() << "MNIST_DIR isn't set";
  MNISTDataModuleOptions options{
      .data_dir = folder, .download = false, .val_split = 50000, .batch_size = 10000};
  options.shuffle = false;
  MNISTDataModule plain(options);
  const auto raw = inputs(plain.train_dataloader());
  options.standardize = true;
  MNISTDataModule data(options);
  const auto train = inputs(data.train_dataloader());
  const auto mean = raw.to(torch::kDouble).mean(0);
  const auto deviation = raw.to(torch::kDouble).std(0, false);
  const auto unit = torch::where(deviation > 0, deviation, torch::ones_like(deviation));
  EXPECT_TENSORS_NEAR(train, (raw - mean) / unit, 1e-4);
  const auto expected = (inputs(plain.test_dataloader()) - mean) / unit;
  EXPECT_TENSORS_NEAR(inputs(data.test_dataloader()), expected, 2e-3);
  options.standardize = false;
  MNISTDataModule other(options);
  other.load_fitted_state(data.fitted_state());
  EXPECT_TENSORS_NEAR(inputs(other.predict_dataloader()), expected, 2e-3);
  options.standardize = true;
  MNISTDataModule refusing(options);
  EXPECT_TRUE(
      says(message_of<ConfigError>([&] { refusing.load_fitted_state(plain.fitted_state()); }),
           {"weren't standardised"}));
}

TEST(ArrayDataModuleWeights, come_with_the_rows_they_belong_to) {
  TemporaryFolder folder;
  write_text(folder / "x.csv", "a,b\n1,0\n2,1\n3,0\n4,1\n");
  write_text(folder / "w.csv", "w\n0.1\n0.2\n0.3\n0.4\n");
  ArrayDataModule data({.x = (folder / "x.csv").string(),
                        .batch_size = 4,
                        .val_split = 0,
                        .test_split = 0,
                        .weights = (folder / "w.csv").string()});
  auto reader = data.train_dataloader().front().open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_TENSORS_NEAR(batch.weight(), batch.input().squeeze(1) * 0.1, 1e-6);
  EXPECT_EQ(batch.weight().sizes(), (std::vector<int64_t>{4}));

  const auto x = torch::randn({4, 2});
  ArrayDataModule tensors(x, torch::tensor({0, 1, 0, 1}), {.val_split = 0, .test_split = 0});
  tensors.set_weights(torch::ones({3}));
  EXPECT_TRUE(says(message_of<DataError>([&] { tensors.setup(Stage::fit); }), {"x", "weights"}));
  tensors.set_weights(torch::ones({4}));
  EXPECT_TRUE(tensors.train_dataloader().front().dataset().get(0).has("weight"));
}

}  // namespace levin::standardization_test
