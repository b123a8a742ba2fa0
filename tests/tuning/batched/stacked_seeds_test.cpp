// Models of several seeds that are trained together: each begins with the weights of its seed and
// sees the rows in the order of its seed.
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "framework/message_of.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/loaders_datamodule.h>
#include <levin/framework/data/sampler.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/tuning/batched/multi_seed_datamodule.h>
#include <levin/tuning/batched/stacked_models.h>

namespace levin::stacked_seeds_test {

using Make = std::function<std::unique_ptr<Module>(double learning_rate)>;

/// The seed and the learning rate of each model.
struct Case {
  uint64_t seed;
  double learning_rate;
};
const std::vector<Case> kCases = {{7, 0.05}, {7, 0.2}, {3, 0.05}, {11, 0.05}, {11, 0.01}};

ArrayDataModule classes(const ArrayDataModuleOptions& options) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = at::randn({130, 6}, generator, at::kFloat);
  const auto scores = x.mm(at::randn({6, 4}, generator, at::kFloat));
  return ArrayDataModule(x, scores.argmax(1), options);
}

TrainerOptions quiet() {
  TrainerOptions options;
  options.accelerator = "cpu";
  options.max_epochs = 3;
  options.threads = 2;
  return options;
}

void expect_each_as_alone(const Make& make, DataModule& data) {
  std::vector<StackedModels::Maker> makers;
  std::vector<uint64_t> seeds;
  for (const Case& one : kCases) {
    makers.push_back([&] { return make(one.learning_rate); });
    if (seeds.empty() || seeds.back() != one.seed) seeds.push_back(one.seed);
  }
  std::vector<uint64_t> own_seeds;
  for (const Case& one : kCases) own_seeds.push_back(one.seed);
  StackedModels models(makers, shipped_optimizers(), own_seeds);
  MultiSeedDataModule data_of_seeds(data, seeds);
  Trainer together(quiet());
  together.fit(models, data_of_seeds);
  for (size_t k = 0; k < kCases.size(); ++k) {
    SCOPED_TRACE(k);
    seed_everything(kCases[k].seed);
    const auto alone = make(kCases[k].learning_rate);
    Trainer trainer(quiet());
    trainer.fit(*alone, data);
    const auto weights = models.model(k).state_dict();
    for (const auto& [name, weight] : alone->state_dict().tensors) {
      const double scale = weight.abs().max().item<double>();
      EXPECT_LE((weights.tensor(name) - weight).abs().max().item<double>(), 1e-5 * scale) << name;
    }
    const auto metrics = metrics_of_model(together.run().metrics(), k);
    ASSERT_EQ(metrics.size(), trainer.run().metrics().size());
    for (const auto& [name, value] : trainer.run().metrics()) {
      EXPECT_NEAR(metrics.at(name), value, 1e-5 * std::abs(value)) << name;
    }
  }
}

std::unique_ptr<Module> make_regression(double learning_rate) {
  return std::make_unique<LogisticRegression>(
      LogisticRegressionOptions{.learning_rate = learning_rate, .optimizer = "Adam"});
}

std::unique_ptr<Module> make_net(double learning_rate) {
  return std::make_unique<MLP>(
      MLPOptions{.hidden_sizes = {8}, .learning_rate = learning_rate, .optimizer = "SGD"});
}

TEST(StackedSeeds, softmax_regressions_of_several_seeds_are_those_trained_alone) {
  auto data = classes({.batch_size = 16, .val_split = 0.2});
  expect_each_as_alone(make_regression, data);
}

TEST(StackedSeeds, nets_of_several_seeds_begin_and_end_as_those_trained_alone) {
  auto data = classes({.batch_size = 16, .val_split = 0.2});
  expect_each_as_alone(make_net, data);
}

TEST(StackedSeeds, linear_regressions_of_several_seeds_are_those_trained_alone) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = at::randn({50, 6}, generator, at::kFloat);
  ArrayDataModule data(x, x.mm(at::randn({6, 2}, generator, at::kFloat)),
                       {.batch_size = 16, .val_split = 0.2, .target_type = "value"});
  expect_each_as_alone(
      [](double learning_rate) {
        return std::make_unique<LinearRegression>(
            LinearRegressionOptions{.learning_rate = learning_rate, .optimizer = "SGD"});
      },
      data);
}

// Rows that are drawn with replacement are other ones for each seed.
TEST(StackedSeeds, models_of_several_seeds_draw_the_rows_of_their_seeds) {
  auto data = classes({.batch_size = 16, .val_split = 0.2, .sampling = "balanced"});
  expect_each_as_alone(make_regression, data);
}

TEST(StackedSeeds, models_with_the_settings_metrics_are_validated_on_the_same_rows) {
  auto data = classes({.batch_size = 16, .val_split = 0.2});
  expect_each_as_alone(
      [](double learning_rate) {
        LogisticRegressionOptions options{.learning_rate = learning_rate};
        options.metrics = {"fbeta"};
        return std::make_unique<LogisticRegression>(options);
      },
      data);
}

/// Changes the rows of each batch.
class Doubled : public LoadersDataModule {
 public:
  using LoadersDataModule::LoadersDataModule;
  void on_before_batch_transfer(Batch& batch) override { batch.set("input", batch.input() * 2.0); }
};

TEST(StackedSeeds, hooks_of_the_data_module_see_the_rows_of_each_seed) {
  const auto set =
      std::make_shared<TensorDataset>(at::arange(6).to(at::kFloat).view({6, 1}), at::arange(6));
  Doubled data({.train = DataLoader(set, {.batch_size = 4, .shuffle = true})});
  MultiSeedDataModule data_of_seeds(data, {1, 2, 3});
  auto readers = data_of_seeds.train_dataloader();
  ASSERT_EQ(readers.size(), 3U);
  Batch batch({{"0/input", at::ones({4, 1})},
               {"0/target", at::ones({4})},
               {"1/input", at::full({4, 1}, 3.0)},
               {"1/target", at::ones({4})}});
  data_of_seeds.on_before_batch_transfer(batch);
  EXPECT_TRUE(batch["0/input"].equal(at::full({4, 1}, 2.0)));
  EXPECT_TRUE(batch["1/input"].equal(at::full({4, 1}, 6.0)));
  const auto parts = parts_by_seed(batch);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_TRUE(parts[1].input().equal(at::full({4, 1}, 6.0)));
  EXPECT_EQ(parts_by_seed(Batch({{"a/input", at::ones({4, 1})}})).size(), 1U);
}

/// The rows in the order that the global seed of the moment says, whatever the loader's seed is.
class OwnOrder : public Sampler {
 public:
  int64_t size() const override { return 6; }
  void set_epoch(int64_t) override {}
  void rows(int64_t first, std::span<int64_t> out) const override {
    std::iota(out.begin(), out.end(), first);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<OwnOrder>(); }
};

TEST(StackedSeeds, refuses_orders_that_may_not_depend_on_the_loaders_seed) {
  const auto set = std::make_shared<TensorDataset>(at::ones({6, 1}), at::arange(6));
  const auto refusal = [](DataLoaders loaders) {
    LoadersDataModule data({.train = std::move(loaders)});
    return test::message_of<ConfigError>([&] {
      MultiSeedDataModule(data, {1, 2}).train_dataloader();
    });
  };
  const DataLoader sampled(set, {.batch_size = 2, .sampler = std::make_shared<OwnOrder>()});
  EXPECT_TRUE(test::says(refusal({sampled}), {"several seeds", "a sampler of its own"}));
  const DataLoader plain(set, {.batch_size = 2});
  EXPECT_TRUE(test::says(refusal({plain, plain}), {"several seeds", "2 loaders"}));
}

}  // namespace levin::stacked_seeds_test
