#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>

#include "datamodules/loader_support.h"
#include "framework/message_of.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

namespace levin::iris_digits_test {

std::pair<torch::Tensor, torch::Tensor> read_all(const DataLoaders& loaders) {
  const Batch all = test::read_all(loaders);
  return {all.input(), all.target()};
}

// row 10
TEST(IrisDataModule, has_150_rows_of_4_features_and_three_classes_of_50_shuffled) {
  IrisDataModule data({.val_split = 0, .test_split = 0, .dtype = "float64"});
  const auto [x, y] = read_all(data.train_dataloader());
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{150, 4}));
  EXPECT_TRUE(y.bincount().equal(torch::tensor({50, 50, 50})));
  EXPECT_FALSE(y.equal(std::get<0>(y.sort()))) << "the rows are still in order of class";
  // The means of scikit-learn's copy: load_iris().data.mean(0).
  EXPECT_TRUE(x.mean(0).allclose(
      torch::tensor({5.843333333333334, 3.0573333333333337, 3.7580000000000005, 1.1993333333333336},
                    torch::kDouble),
      1e-12, 0))
      << x.mean(0);
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"setosa", "versicolor", "virginica"}));
  EXPECT_EQ(data.num_classes(), 3);
  EXPECT_EQ(data.dims(), (std::vector<int64_t>{4}));
}

// row 11: a batch of 10 Iris rows is x [10, 4], y [10]
TEST(IrisDataModule, a_batch_of_ten_rows_is_10_by_4_and_10) {
  IrisDataModule data({.batch_size = 10});
  auto reader = data.train_dataloader().front().open();
  EXPECT_EQ(reader.size(), 12);
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_EQ(batch.input().sizes(), (std::vector<int64_t>{10, 4}));
  EXPECT_EQ(batch.input().scalar_type(), torch::kFloat);
  EXPECT_EQ(batch.target().sizes(), (std::vector<int64_t>{10}));
  EXPECT_EQ(batch.target().scalar_type(), torch::kLong);
}

TEST(IrisDataModule, splits_as_told_and_the_same_for_a_seed) {
  const auto test_rows = [](int64_t seed) {
    IrisDataModule data({.val_split = 0.2, .seed = seed});
    EXPECT_EQ(data.val_dataloader().front().dataset().size(), 30);
    return read_all(data.test_dataloader()).first;
  };
  EXPECT_EQ(test_rows(1).size(0), 15);
  EXPECT_TRUE(test_rows(1).equal(test_rows(1)));
  EXPECT_FALSE(test_rows(1).equal(test_rows(2)));
  IrisDataModule stratified({.stratify = true});
  EXPECT_TRUE(
      read_all(stratified.test_dataloader()).second.bincount().equal(torch::tensor({5, 5, 5})));
}

// row 17
TEST(DigitsDataModule, has_1797_images_of_64_pixels_from_0_to_1) {
  DigitsDataModule data({.val_split = 0, .test_split = 0});
  const auto [x, y] = read_all(data.train_dataloader());
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{1797, 64}));
  EXPECT_EQ(x.min().item<float>(), 0.0F);
  EXPECT_EQ(x.max().item<float>(), 1.0F);
  EXPECT_TRUE(y.bincount().equal(torch::tensor({178, 182, 177, 183, 181, 182, 181, 179, 174, 180})))
      << y.bincount();
  EXPECT_EQ(data.num_classes(), 10);
  EXPECT_EQ(data.class_names(),
            (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
}

// row 17
TEST(DigitsDataModule, unscaled_pixels_are_whole_numbers_from_0_to_16) {
  DigitsDataModule data({.val_split = 0, .test_split = 0, .shuffle = false, .scale = false});
  const auto [x, y] = read_all(data.train_dataloader());
  EXPECT_EQ(x.max().item<float>(), 16.0F);
  EXPECT_TRUE(x.equal(x.round()));
  EXPECT_EQ(x.sum().item<double>(), 561718.0);  // load_digits().data.sum()
  EXPECT_EQ(y[0].item<int64_t>(), 0);
  EXPECT_EQ(y[1796].item<int64_t>(), 8);
}

// row 34
TEST(DigitsDataModule, hyper_parameters_are_its_own_options) {
  const auto settings = DigitsDataModule({.batch_size = 5, .scale = false}).hyper_parameters();
  EXPECT_EQ(settings.at("scale").as_bool(), false);
  EXPECT_EQ(settings.at("batch_size").as_int(), 5);
  EXPECT_FALSE(settings.contains("x"));
  EXPECT_EQ(IrisDataModule({.seed = 3}).hyper_parameters().at("seed").as_int(), 3);
}

TEST(DigitsDataModule, pixels_must_be_scaled_as_in_training) {
  DigitsDataModule trained({.scale = false});
  const auto state = trained.fitted_state();
  DigitsDataModule same({.scale = false});
  EXPECT_NO_THROW(same.load_fitted_state(state));
  DigitsDataModule other;
  EXPECT_EQ(test::message_of<ConfigError>([&] { other.load_fitted_state(state); }),
            "the model was trained with scale = false, but here scale is true; set the same scale, "
            "so that pixels have the same meaning");
  IrisDataModule flowers;  // knows nothing of scales
  EXPECT_NO_THROW(other.load_fitted_state(flowers.fitted_state()));
}

}  // namespace levin::iris_digits_test
