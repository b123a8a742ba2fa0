#include <levin/datamodules/batch_transforms.h>

#include "framework/message_of.h"

#include <torch/torch.h>

#include <map>
#include <numeric>
#include <set>

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

// The setting `transforms` of data modules, and their setting `sampling`.

namespace levin::transforms_test {

using test::message_of;

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

NamedSettings step(const char* name, Value::Object settings) { return {name, Value(settings)}; }

/// `rows` images of 2 x 4 x 4 different numbers.
torch::Tensor images(int64_t rows) {
  return torch::arange(rows * 32, torch::kFloat).view({rows, 2, 4, 4});
}

/// What the steps make of the rows 0, 1 ... of `x`, in one batch.
Batch changed(const torch::Tensor& x, std::vector<NamedSettings> list,
              TransformContext context = {.seed = 1, .epoch = 0}) {
  std::vector<int64_t> positions(static_cast<size_t>(x.size(0)));
  std::iota(positions.begin(), positions.end(), 0);
  context.positions = positions;
  Batch batch(NamedTensors{{"input", x.clone()}, {"target", torch::arange(x.size(0)) % 3}});
  BatchTransforms(std::move(list)).transform()(batch, context);
  return batch;
}

TEST(Transforms, normalize_is_by_channel_or_by_one_number) {
  const auto x = images(3);
  const auto by_channel = changed(
      x, {step("normalize", {{"mean", Value::Array{1.0, 2.0}}, {"std", Value::Array{2.0, 4.0}}})});
  EXPECT_TRUE(by_channel.input().select(1, 0).equal((x.select(1, 0) - 1.0) / 2.0));
  EXPECT_TRUE(by_channel.input().select(1, 1).equal((x.select(1, 1) - 2.0) / 4.0));
  const auto by_one =
      changed(x, {step("normalize", {{"mean", Value::Array{8.0}}, {"std", Value::Array{2.0}}})});
  EXPECT_TRUE(by_one.input().equal((x - 8.0) / 2.0));
}

TEST(Transforms, pad_flatten_and_one_hot_change_shapes) {
  const auto x = images(3);
  const auto padded = changed(x, {step("pad", {{"padding", 1}, {"value", 9.0}})});
  EXPECT_EQ(padded.input().sizes(), (std::vector<int64_t>{3, 2, 6, 6}));
  EXPECT_TRUE(padded.input().narrow(2, 1, 4).narrow(3, 1, 4).equal(x));
  EXPECT_EQ(padded.input()[2][1][0][3].item<float>(), 9.0F);
  const auto flat = changed(x, {"flatten", step("one_hot", {{"num_classes", 4}})});
  EXPECT_TRUE(flat.input().equal(x.view({3, 32})));
  EXPECT_TRUE(flat.target().equal(torch::eye(4).narrow(0, 0, 3)));
  EXPECT_SAYS(message_of<DataError>([&] {
                changed(x, {step("one_hot", {{"num_classes", 2}})});
              }),
              "classes must be from 0 to 1");
}

TEST(Transforms, random_crop_takes_a_part_of_the_image_that_has_room_for_it) {
  const auto x = images(40);
  const auto batch = changed(x, {step("random_crop", {{"size", 3}})});
  ASSERT_EQ(batch.input().sizes(), (std::vector<int64_t>{40, 2, 3, 3}));
  std::set<std::pair<int64_t, int64_t>> corners;
  for (int64_t i = 0; i < 40; ++i) {
    const auto place = batch.input()[i][0][0][0].item<int64_t>() - 32 * i;
    const int64_t top = place / 4;
    const int64_t left = place % 4;
    corners.emplace(top, left);
    EXPECT_TRUE(batch.input()[i].equal(x[i].narrow(1, top, 3).narrow(2, left, 3)));
  }
  EXPECT_EQ(corners.size(), 4U) << "all places";
  const auto middle = changed(x, {step("random_crop", {{"size", 2}})}, {.augment = false});
  EXPECT_TRUE(middle.input().equal(x.narrow(2, 1, 2).narrow(3, 1, 2)));
  EXPECT_SAYS(message_of<DataError>([&] {
                changed(x, {step("random_crop", {{"size", 5}})});
              }),
              "at least as large as size = 5");
}

TEST(Transforms, random_crop_has_zeros_beyond_the_image) {
  const auto x = images(60) + 1.0;
  const auto batch = changed(x, {step("random_crop", {{"padding", 1}})});
  ASSERT_EQ(batch.input().sizes(), x.sizes());
  const auto padded = torch::constant_pad_nd(x, {1, 1, 1, 1});
  int64_t whole = 0;
  for (int64_t i = 0; i < 60; ++i) {
    bool is_found = false;
    for (int64_t top = 0; top < 3; ++top) {
      for (int64_t left = 0; left < 3; ++left) {
        is_found |= batch.input()[i].equal(padded[i].narrow(1, top, 4).narrow(2, left, 4));
      }
    }
    EXPECT_TRUE(is_found) << i;
    whole += batch.input()[i].equal(x[i]) ? 1 : 0;
  }
  EXPECT_LT(whole, 30) << "about a ninth";
  EXPECT_TRUE(
      changed(x, {step("random_crop", {{"padding", 1}})}, {.augment = false}).input().equal(x));
}

TEST(Transforms, flips_are_random_for_training_alone) {
  const auto x = images(100);
  const auto batch = changed(x, {"random_horizontal_flip"});
  int64_t flipped = 0;
  for (int64_t i = 0; i < 100; ++i) {
    const bool is_flipped = batch.input()[i].equal(x[i].flip({-1}));
    EXPECT_TRUE(is_flipped || batch.input()[i].equal(x[i]));
    flipped += is_flipped ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(flipped), 50, 25);
  EXPECT_TRUE(changed(x, {"random_horizontal_flip"}, {.augment = false}).input().equal(x));
  EXPECT_TRUE(
      changed(x, {step("random_horizontal_flip", {{"p", 1.0}})}).input().equal(x.flip({-1})));
}

TEST(Transforms, what_is_drawn_differs_by_epoch_seed_and_step) {
  const auto x = images(50);
  const auto flips = [&](std::vector<NamedSettings> list, TransformContext context) {
    return changed(x, std::move(list), context).input();
  };
  const auto once = flips({"random_horizontal_flip"}, {.seed = 1, .epoch = 3});
  EXPECT_TRUE(once.equal(flips({"random_horizontal_flip"}, {.seed = 1, .epoch = 3})));
  EXPECT_FALSE(once.equal(flips({"random_horizontal_flip"}, {.seed = 1, .epoch = 4})));
  EXPECT_FALSE(once.equal(flips({"random_horizontal_flip"}, {.seed = 2, .epoch = 3})));
  EXPECT_FALSE(
      x.equal(flips({"random_horizontal_flip", "random_horizontal_flip"}, {.seed = 1, .epoch = 3})))
      << "two steps that drew the same would undo each other";
}

TEST(Transforms, unknown_names_and_settings_are_refused) {
  EXPECT_SAYS(message_of<ConfigError>([] { BatchTransforms({"normalise"}); }), "normalize");
  EXPECT_SAYS(message_of<ConfigError>([] {
                BatchTransforms({step("pad", {{"width", 1}})});
              }),
              "width");
  EXPECT_SAYS(message_of<ConfigError>([] {
                BatchTransforms({step("normalize", {{"mean", Value::Array{1.0}}})});
              }),
              "mean has 1 numbers and std 0");
  EXPECT_THROW(BatchTransforms({step("random_horizontal_flip", {{"p", 1.5}})}), ConfigError);
  EXPECT_THROW(BatchTransforms({"one_hot"}), ConfigError);
}

// --- data modules --------------------------------------------------------------------------------

ArrayDataModule data_of(const torch::Tensor& x, ArrayDataModuleOptions options) {
  return ArrayDataModule(x, torch::arange(x.size(0)) % 3, std::move(options));
}

torch::Tensor all_inputs(const DataLoaders& loaders, RankShare share = {}) {
  std::vector<torch::Tensor> parts;
  auto reader = loaders.front().open(1, 0, share);
  for (Batch batch; reader.next(batch);) parts.push_back(batch.input().clone());
  return torch::cat(parts);
}

TEST(Transforms, statistics_are_those_of_the_training_rows_in_the_shape_they_have_by_then) {
  const auto x = torch::rand({3000, 2, 4, 4}) * torch::tensor({1.0, 5.0}).view({1, 2, 1, 1}) + 3.0;
  auto data = data_of(x, {.batch_size = 7000,
                          .val_split = 0.2,
                          .test_split = 0,
                          .transforms = {step("pad", {{"padding", 1}}), "normalize"}});
  const auto train = all_inputs(data.train_dataloader());
  const auto channels = train.transpose(0, 1).flatten(1).to(torch::kDouble);
  EXPECT_TRUE(channels.mean(1).allclose(torch::zeros({2}, torch::kDouble), 0, 1e-5));
  EXPECT_TRUE(channels.std(1, /*unbiased=*/false).allclose(torch::ones({2}, torch::kDouble), 1e-5));
  const auto saved = data.fitted_state().values.at("transforms").as_array();
  ASSERT_EQ(saved.size(), 1U);
  const auto& memory = *find_in_memory(data.train_dataloader().front().shared_dataset()).tensors;
  EXPECT_EQ(memory.entries()[0].second.row_shape(), (std::vector<int64_t>{2, 4, 4}));
  const double mean = saved[0].at("statistics").at("mean").as_array()[1].as_double();
  EXPECT_NEAR(mean, 5.5 * 16 / 36, 0.05) << "padding included";
}

TEST(Transforms, statistics_of_a_model_count_for_other_rows) {
  const auto x = torch::arange(40, torch::kFloat).view({20, 2});
  auto trained = data_of(x, {.val_split = 0.2, .test_split = 0.2, .transforms = {"normalize"}});
  trained.setup(Stage::fit);
  const auto expected = all_inputs(trained.test_dataloader());
  const auto state = trained.fitted_state();
  auto other = data_of(x, {.val_split = 0.2, .test_split = 0.2, .transforms = {"normalize"}});
  auto different = state;
  auto& mean = different.values["transforms"].as_array()[0]["statistics"]["mean"].as_array()[0];
  mean = mean.as_double() + 1.0;
  other.load_fitted_state(different);
  EXPECT_FALSE(all_inputs(other.test_dataloader()).equal(expected));
  other.load_fitted_state(state);
  EXPECT_TRUE(all_inputs(other.test_dataloader()).equal(expected));
  auto none = data_of(x, {.val_split = 0.2, .test_split = 0.2});
  EXPECT_SAYS(message_of<ConfigError>([&] { none.load_fitted_state(state); }),
              "transforms that have statistics: normalize, but here there are: none");
  auto given = data_of(x, {.transforms = {step("normalize", {{"mean", Value::Array{0.0}},
                                                             {"std", Value::Array{1.0}}})}});
  EXPECT_SAYS(message_of<ConfigError>([&] { given.load_fitted_state(state); }),
              "but here it is by mean [0.0] and std [1.0]");
}

TEST(Transforms, random_ones_are_the_same_for_any_workers_and_ranks_and_leave_evaluations_alone) {
  const auto x = images(25);
  const auto made = [&](int64_t workers) {
    return data_of(
        x, {.batch_size = 4,
            .val_split = 0.2,
            .test_split = 0,
            .num_workers = workers,
            .transforms = {step("random_crop", {{"padding", 1}}), "random_horizontal_flip"}});
  };
  auto data = made(0);
  auto with_workers = made(2);
  const auto train = all_inputs(data.train_dataloader());
  EXPECT_TRUE(train.equal(all_inputs(with_workers.train_dataloader())));
  const auto first = all_inputs(data.train_dataloader(), {.rank = 0, .world_size = 2});
  const auto second = all_inputs(data.train_dataloader(), {.rank = 1, .world_size = 2});
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE((i % 2 == 0 ? first : second)[i / 2].equal(train[i])) << i;
  }
  const auto val = all_inputs(data.val_dataloader());
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(x[val[i][0][0][0].item<int64_t>() / 32].equal(val[i])) << "as it is in memory";
  }
}

std::map<int64_t, int> classes_of(const DataLoaders& loaders, int64_t epoch) {
  std::map<int64_t, int> counts;
  auto reader = loaders.front().open(epoch);
  for (Batch batch; reader.next(batch);) {
    const auto target = batch.target();
    for (int64_t i = 0; i < target.numel(); ++i) ++counts[target[i].item<int64_t>()];
  }
  return counts;
}

TEST(Sampling, balanced_and_weighted_rows_are_drawn_and_stratified_ones_ordered) {
  const auto x = torch::arange(1000, torch::kFloat).view({1000, 1});
  const auto y = (x.flatten() >= 900).to(torch::kLong);  // 900 and 100
  const auto made = [&](const char* sampling) {
    ArrayDataModule data(x, y,
                         {.batch_size = 20, .val_split = 0, .test_split = 0, .sampling = sampling});
    data.set_weights(1.0 + 26.0 * y.to(torch::kFloat));  // 900 to 2700
    return data;
  };
  auto balanced = made("balanced");
  EXPECT_NEAR(classes_of(balanced.train_dataloader(), 0)[1], 500, 80);
  auto weighted = made("weighted");
  EXPECT_NEAR(classes_of(weighted.train_dataloader(), 0)[1], 750, 70);
  Batch batch;
  weighted.train_dataloader().front().open().next(batch);
  EXPECT_FALSE(batch.has("weight")) << "they would count twice";
  auto stratified = made("stratified");
  auto reader = stratified.train_dataloader().front().open();
  while (reader.next(batch)) EXPECT_NEAR(batch.target().sum().item<double>(), 2.0, 2.0);
  EXPECT_EQ(classes_of(stratified.train_dataloader(), 1)[1], 100);
  EXPECT_EQ(stratified.train_dataloader().front().options().seed, std::nullopt);
}

TEST(Sampling, the_order_follows_the_runs_seed) {
  const auto made = [] {
    return data_of(images(60),
                   {.batch_size = 60, .val_split = 0, .test_split = 0, .sampling = "stratified"});
  };
  auto data = made();
  const auto loaders = data.train_dataloader();
  const auto before = global_seed();
  seed_everything(1);
  const auto first = all_inputs(loaders);
  seed_everything(2);
  EXPECT_FALSE(all_inputs(loaders).equal(first)) << "the seed is that of the time of opening";
  seed_everything(1);
  EXPECT_TRUE(all_inputs(loaders).equal(first));
  seed_everything(before);
}

TEST(Sampling, what_it_lacks_is_named) {
  EXPECT_SAYS(message_of<ConfigError>([] { data_of(images(3), {.sampling = "balance"}); }),
              "balanced");
  auto unweighted = data_of(images(9), {.val_split = 0, .test_split = 0, .sampling = "weighted"});
  EXPECT_SAYS(message_of<ConfigError>([&] { unweighted.train_dataloader(); }),
              "without the tensor \"weight\"");
  ArrayDataModule values(images(9), torch::rand({9}),
                         {.val_split = 0, .test_split = 0, .sampling = "stratified"});
  EXPECT_SAYS(message_of<ConfigError>([&] { values.train_dataloader(); }),
              "rows whose targets are values");
}

}  // namespace levin::transforms_test
