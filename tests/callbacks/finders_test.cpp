#include <levin/callbacks/batch_size_finder.h>
#include <levin/callbacks/lambda_callback.h>
#include <levin/callbacks/learning_rate_finder.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loggers/logger.h>
#include <levin/models/mlp.h>

#include <new>

#include "callbacks/fixture.h"

namespace levin::test::finders_test {

/// Keeps the settings that it gets.
class Settings : public Logger {
 public:
  void start(Run&) override {}
  void log_metrics(const MetricMap&, int64_t, int64_t) override {}
  void log_hyper_parameters(const Value& settings) override { all = settings; }
  Value all;
};

/// Counts what its data module is asked for.
class Counted : public PointsModule {
 public:
  using PointsModule::PointsModule;
  void setup(Stage stage) override {
    ++setups;
    PointsModule::setup(stage);
  }
  void teardown(Stage stage) override {
    ++teardowns;
    PointsModule::teardown(stage);
  }
  int setups = 0;
  int teardowns = 0;
};

struct FitWithFinders : ::testing::Test {
  TrainerOptions options(int64_t epochs = 2) const {
    TrainerOptions result;
    result.accelerator = "cpu";
    result.max_epochs = epochs;
    result.num_sanity_val_steps = 0;
    result.log_every_n_steps = 1;
    result.default_root_dir = folder.string();
    return result;
  }
  /// The weights after a fit with these sizes and rates, found or given. `add` adds callbacks.
  template <class Add>
  StateDict fit(int64_t batch_size, const Add& add, const OptimizersFactory& optimizers = {}) {
    seed_everything(3);
    Classifier model(/*dropout=*/0.2);
    PointsModule data(50, {.batch_size = batch_size, .shuffle = true});
    Trainer trainer(options());
    if (optimizers) trainer.set_optimizers(optimizers);
    add(trainer);
    ::testing::internal::CaptureStderr();
    trainer.fit(model, data);
    said = ::testing::internal::GetCapturedStderr();
    return model.state_dict().clone();
  }
  TemporaryFolder folder;
  std::string said;  // by the last fit, on stderr
};

void expect_same_bits(const StateDict& a, const StateDict& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(same_bits(tensor, b.tensor(name))) << name;
  }
}

OptimizersFactory two_groups(double rate) {
  return [rate](Module& module) -> Optimizers {
    auto all = module.parameters();
    const auto last = all.back();
    all.pop_back();
    return {SGD({{.parameters = all}, {.parameters = {last}, .learning_rate = 2.0 * rate}},
                {.learning_rate = rate, .momentum = 0.9}),
            ExponentialLR({.gamma = 0.5})};
  };
}

using LearningRateFinderTest = FitWithFinders;

TEST_F(LearningRateFinderTest, TheFitHasTheBitsOfOneThatWasGivenTheRate) {
  std::optional<double> found;
  const auto weights = fit(
      8,
      [&](Trainer& trainer) {
        auto& finder = trainer.add<LearningRateFinder>({.min_lr = 1e-4, .num_training_steps = 40});
        trainer.add<LambdaCallback>({.on_train_start = [&](levin::Run& run) {
          found = finder.learning_rate();
          ASSERT_TRUE(found.has_value());
          const auto& groups = run.optimizers().entries()[0].optimizer->groups();
          EXPECT_EQ(groups[0].learning_rate, *found);
          EXPECT_DOUBLE_EQ(groups[1].learning_rate, 2.0 * *found);
          EXPECT_EQ(finder.found().rates.front(), 1e-4);
        }});
      },
      two_groups(0.05));
  EXPECT_NE(said.find("LearningRateFinder sets the learning rate to"), std::string::npos) << said;
  ASSERT_NE(*found, 0.05);
  expect_same_bits(weights, fit(
                                8, [](Trainer&) {}, two_groups(*found)));
}

TEST_F(LearningRateFinderTest, TheRateIsAmongTheSettingsAndAResumedFitGoesOnWithIt) {
  Classifier model;
  Counted data(24, {.batch_size = 8});
  Trainer trainer(options());
  auto& finder = trainer.add<LearningRateFinder>({.min_lr = 1e-3, .num_training_steps = 20});
  auto& settings = trainer.add_logger<Settings>();
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  EXPECT_EQ(data.setups, 1) << "the trial uses the data of the fit";
  EXPECT_EQ(data.teardowns, 1);
  const double found = finder.learning_rate().value();
  EXPECT_EQ(settings.all.at("tuned").at("learning_rate").as_double(), found);
  const auto path = folder.path() / "end.ckpt";
  trainer.save_checkpoint(path);

  Classifier other;
  Trainer resumed(options(3));
  auto& again = resumed.add<LearningRateFinder>({.min_lr = 1e-3, .num_training_steps = 20});
  std::vector<double> rates;
  resumed.add<LambdaCallback>({.on_before_optimizer_step = [&](Optimizer& optimizer, Step&) {
    rates.push_back(optimizer.groups()[0].learning_rate);
  }});
  resumed.fit(other, data, path.string());
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(rates, std::vector<double>(3, found)) << "one epoch, and no trial";
  EXPECT_EQ(again.learning_rate(), found);
  EXPECT_TRUE(again.found().losses.empty());
}

TEST_F(LearningRateFinderTest, OnlyReportsWhereAskedAndWarnsIfTheTrialIsTooShort) {
  const auto given = fit(8, [](Trainer&) {});
  const LearningRateFinder* finder = nullptr;
  expect_same_bits(
      given, fit(8, [&](Trainer& trainer) {
        finder = &trainer.add<LearningRateFinder>({.num_training_steps = 20, .update_attr = false});
      }));
  EXPECT_NE(said.find("suggests the learning rate"), std::string::npos) << said;
  expect_same_bits(given, fit(8, [](Trainer& trainer) {
                     trainer.add<LearningRateFinder>({.num_training_steps = 5});
                   }));
  EXPECT_NE(said.find("found no learning rate in 5 steps"), std::string::npos) << said;
  Classifier model;
  PointsModule data(24, {.batch_size = 8});
  Trainer trainer(options());
  trainer.add<LearningRateFinder>({.min_lr = 1.0, .max_lr = 0.5});
  EXPECT_THROW(trainer.fit(model, data), ConfigError);
}

TEST_F(LearningRateFinderTest, ALazyModelHasTheWeightsThatItHasWithoutATrial) {
  const auto weights_of = [&](bool with_finder, double rate) {
    seed_everything(5);
    MLP model({.hidden_sizes = {4}, .dropout = 0.1, .learning_rate = rate});
    PointsModule data(24, {.batch_size = 8, .shuffle = true});
    Trainer trainer(options());
    double found = rate;
    if (with_finder) {
      auto& finder = trainer.add<LearningRateFinder>({.min_lr = 1e-4, .num_training_steps = 20});
      trainer.fit(model, data);
      found = finder.learning_rate().value();
    } else {
      trainer.fit(model, data);
    }
    return std::pair(model.state_dict().clone(), found);
  };
  ::testing::internal::CaptureStderr();
  const auto [tuned, rate] = weights_of(true, 0.1);
  const auto [given, same] = weights_of(false, rate);
  ::testing::internal::GetCapturedStderr();
  expect_same_bits(tuned, given);
}

/// Runs out of memory with more than 12 rows.
class Large : public Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    if (batch.rows() > 12) throw std::bad_alloc();
    if (step.run().stage() == Stage::fit) sizes.push_back(batch.rows());
    return Classifier::training_step(batch, step);
  }
  std::vector<int64_t> sizes;
};

using BatchSizeFinderTest = FitWithFinders;

TEST_F(BatchSizeFinderTest, TrainsWithTheLargestSizeThatFits) {
  Large model;
  PointsModule data(24, {.batch_size = 3});
  Trainer trainer(options(1));
  auto& finder =
      trainer.add<BatchSizeFinder>({.mode = "binsearch", .steps_per_trial = 1, .margin = 0.0});
  auto& settings = trainer.add_logger<Settings>();
  trainer.add<LambdaCallback>({.on_train_start = [&](levin::Run& run) {
    model.sizes.clear();
    EXPECT_EQ(run.progress().num_batches, 2);
  }});
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("sets the batch size to 12"),
            std::string::npos);
  EXPECT_EQ(finder.batch_size(), 12);
  EXPECT_EQ(model.sizes, (std::vector<int64_t>{12, 12}));
  EXPECT_EQ(settings.all.at("tuned").at("batch_size").as_int(), 12);
}

TEST_F(BatchSizeFinderTest, TheFitHasTheBitsOfOneThatWasGivenTheSize) {
  const auto found = fit(3, [](Trainer& trainer) {
    trainer.add<BatchSizeFinder>({.steps_per_trial = 1, .max_val = 8});
  });
  expect_same_bits(found, fit(8, [](Trainer&) {}));
}

TEST_F(BatchSizeFinderTest, ALearningRateIsFoundWithTheSizeThatWasFoundBefore) {
  const LearningRateFinder* rates = nullptr;
  std::vector<double> losses;
  fit(3, [&](Trainer& trainer) {
    trainer.add<BatchSizeFinder>({.steps_per_trial = 1, .max_val = 8});
    rates = &trainer.add<LearningRateFinder>({.num_training_steps = 20});
    trainer.add<LambdaCallback>(
        {.on_train_start = [&](levin::Run&) { losses = rates->found().losses; }});
  });
  seed_everything(3);
  Classifier model(0.2);
  PointsModule data(50, {.batch_size = 8, .shuffle = true});
  EXPECT_EQ(lr_find(options(), model, data, {.num_training = 20}).losses, losses);
}

TEST_F(BatchSizeFinderTest, AFastDevRunTriesNothing) {
  Large model;
  PointsModule data(24, {.batch_size = 3});
  TrainerOptions fast = options(1);
  fast.fast_dev_run = true;
  Trainer trainer(fast);
  auto& finder = trainer.add<BatchSizeFinder>();
  trainer.fit(model, data);
  EXPECT_EQ(finder.batch_size(), std::nullopt);
  EXPECT_EQ(model.sizes, std::vector<int64_t>{3});
}

}  // namespace levin::test::finders_test
