#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/ema_weight_averaging.h>
#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/callbacks/weight_averaging.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/models/logistic_regression.h>

#include "callbacks/counter.h"

namespace levin::test::weight_averaging_test {

/// The weights at some moments of a fit.
struct Moments {
  std::vector<double> validated;  // in each validation
  std::vector<double> trained;    // at the end of each epoch
  double end = 0.0;               // after fit
};

template <class C>
Moments fit(typename C::Options options, int64_t epochs = 2, TrainerOptions changes = {}) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;  // 4 steps an epoch
  TrainerOptions trainer_options = short_fit(folder, epochs);
  trainer_options.accumulate_grad_batches = changes.accumulate_grad_batches;
  Trainer trainer(trainer_options);
  trainer.add<C>(std::move(options));
  Moments moments;
  trainer.add<LambdaCallback>(
      {.on_validation_epoch_end = [&](levin::Run&) { moments.validated.push_back(model.value()); },
       .on_train_epoch_end = [&](levin::Run&) { moments.trained.push_back(model.value()); }});
  trainer.fit(model, data);
  moments.end = model.value();
  return moments;
}

TEST(WeightAveraging, ValidatesWithTheMeanOfTheWeightsAndLeavesItInTheModule) {
  const Moments moments = fit<WeightAveraging>({});
  EXPECT_EQ(moments.validated, (std::vector<double>{2.5, 4.5}));  // of 1 to 4, and of 1 to 8
  EXPECT_EQ(moments.trained, (std::vector<double>{4.0, 8.0})) << "training goes on from its own";
  EXPECT_EQ(moments.end, 4.5);
}

TEST(WeightAveraging, CountsOptimizerStepsAndNotBatches) {
  TrainerOptions changes;
  changes.accumulate_grad_batches = 2;
  EXPECT_EQ(fit<WeightAveraging>({}, 1, changes).end, 1.5);  // of 1 and 2
}

TEST(EMAWeightAveraging, FollowsTheWeightsByItsDecay) {
  const Moments moments = fit<EMAWeightAveraging>({.decay = 0.5}, 1);
  EXPECT_EQ(moments.end, 3.125);  // 1, 1.5, 2.25, 3.125
}

TEST(EMAWeightAveraging, UpdatesAfterTheStepsAndEpochsThatTheOptionsName) {
  using Options = EMAWeightAveragingOptions;
  const auto end = [](Options options) { return fit<EMAWeightAveraging>(options).end; };
  EXPECT_EQ(end({.decay = 0.5, .update_every_n_steps = 3}), 4.75);    // of 1, 4 and 7
  EXPECT_EQ(end({.decay = 0.5, .update_starting_at_step = 6}), 7.5);  // of 7 and 8
  EXPECT_EQ(end({.decay = 0.5, .update_every_n_steps = 0, .update_starting_at_epoch = 0}), 6.0);
  EXPECT_EQ(end({.decay = 0.5, .update_every_n_steps = 3, .update_starting_at_epoch = 1}), 6.375);
  EXPECT_EQ(fit<EMAWeightAveraging>({.update_starting_at_step = 6}).validated.front(), 4.0)
      << "before the first update, the weights themselves are validated";
}

TEST(EMAWeightAveraging, RefusesOptionsThatCannotBe) {
  using Options = EMAWeightAveragingOptions;
  for (const Options& options :
       {Options{.decay = 1.0}, Options{.decay = -0.1}, Options{.update_every_n_steps = -1},
        Options{.update_every_n_steps = 0}, Options{.update_starting_at_step = -1},
        Options{.update_starting_at_epoch = -1}}) {
    EXPECT_THROW(EMAWeightAveraging{options}, ConfigError);
  }
}

TEST(WeightAveraging, CheckpointsHaveTheAverageAsTheModulesWeights) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 2));
  trainer.add<WeightAveraging>();
  trainer.add<LambdaCallback>({.on_train_epoch_end = [&](levin::Run& run) {
    if (run.epoch() > 0) return;
    run.save(folder.path() / "whole.ckpt");
    run.save(folder.path() / "weights.ckpt", {.weights_only = true});
  }});
  trainer.fit(model, data);
  const StateDict whole = load_checkpoint(folder.path() / "whole.ckpt");
  EXPECT_EQ(whole.tensor("model.weight").item<double>(), 2.5);
  EXPECT_EQ(whole.tensor("callbacks.WeightAveraging.weights.weight").item<double>(), 4.0);
  const StateDict weights = load_checkpoint(folder.path() / "weights.ckpt");
  EXPECT_EQ(weights.tensor("model.weight").item<double>(), 2.5);
  trainer.validate(model, data, (folder.path() / "whole.ckpt").string());
  EXPECT_EQ(trainer.run().metrics().at("val_weight"), 2.5);
}

TEST(WeightAveraging, EarlyStoppingRestoresTheAverageThatWasBest) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 3));
  trainer.add<WeightAveraging>();
  trainer.add<EarlyStopping>({.monitor = "val_weight", .restore_best_weights = true});
  trainer.fit(model, data);
  EXPECT_EQ(model.value(), 2.5) << "validated in epoch 0, when the weight itself was 4";
}

TEST(WeightAveraging, CopiesIntegersAndAveragesBuffersUnlessToldNotTo) {
  class Buffers : public Counter {
   public:
    Buffers()
        : mean(register_buffer("mean", torch::zeros({1}))),
          count(register_buffer("count", torch::zeros({1}, torch::kLong))) {}
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {
      mean.add_(1);
      count.add_(1);
    }
    torch::Tensor mean, count;
  };
  for (const bool use_buffers : {true, false}) {
    TemporaryFolder folder;
    Buffers model;
    SmallData data;
    Trainer trainer(short_fit(folder, 1));
    trainer.add<WeightAveraging>({.use_buffers = use_buffers});
    trainer.fit(model, data);
    EXPECT_EQ(model.mean.item<double>(), use_buffers ? 2.5 : 4.0);
    EXPECT_EQ(model.count.item<int64_t>(), 4);
  }
}

TEST(WeightAveraging, ASecondFitBeginsANewAverage) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  const auto& averaging = trainer.add<WeightAveraging>();
  trainer.fit(model, data);
  trainer.fit(model, data);
  EXPECT_EQ(averaging.updates(), 4);
  EXPECT_EQ(model.value(), 5.0);  // of 3.5 to 6.5, because the first fit left 2.5
}

/// The weight after a fit with callback C that ended after 6 of 12 steps and was then gone on with.
template <class C>
double gone_on(const typename C::Options& options, int64_t epochs) {
  TemporaryFolder folder;
  SmallData data;
  const fs::path path = folder.path() / "end.ckpt";
  for (const int64_t max_steps : {6, -1}) {
    Counter model;
    TrainerOptions trainer_options = short_fit(folder, epochs);
    trainer_options.max_steps = max_steps;
    Trainer trainer(trainer_options);
    trainer.add<C>(options);
    trainer.fit(model, data, max_steps < 0 ? path.string() : "");
    if (max_steps < 0) return model.value();
    trainer.save_checkpoint(path);
  }
  return 0.0;
}

TEST(WeightAveraging, TheEndOfAShorterFitCanBeGoneOnFrom) {
  EXPECT_EQ(gone_on<WeightAveraging>({}, 3), 6.5);  // of 1 to 12
  const EMAWeightAveragingOptions by_epoch{
      .decay = 0.5, .update_every_n_steps = 0, .update_starting_at_epoch = 0};
  EXPECT_EQ(gone_on<EMAWeightAveraging>(by_epoch, 3), 9.0);  // 4, 6, 9
  const StochasticWeightAveragingOptions swa{
      .swa_lrs = {1.0}, .swa_epoch_start = 1, .annealing_epochs = 0};
  EXPECT_EQ(gone_on<StochasticWeightAveraging>(swa, 3), 8.0);  // of 4, 8 and 12
}

TEST(WeightAveraging, AFitWithASolverIsRefused) {
  TemporaryFolder folder;
  PointsModule data(24, {.batch_size = 8});
  LogisticRegression model({.in_features = 4, .num_classes = 3, .optimizer = "lbfgs"});
  Trainer trainer(short_fit(folder, 1));
  trainer.add<WeightAveraging>();
  EXPECT_THROW(trainer.fit(model, data), ConfigError);
}

TEST(WeightAveraging, TwoCallbacksThatAverageAreRefusedByName) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<EMAWeightAveraging>();
  trainer.add<StochasticWeightAveraging>({.swa_lrs = {0.5}});
  try {
    trainer.fit(model, data);
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("EMAWeightAveraging and StochasticWeightAveraging"), std::string::npos)
        << text;
    EXPECT_NE(text.find("averages the weights"), std::string::npos) << text;
  }
  trainer.validate(model, data);  // where neither does anything
}

}  // namespace levin::test::weight_averaging_test
