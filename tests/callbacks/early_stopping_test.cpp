#include <levin/callbacks/early_stopping.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>

#include <limits>

#include "callbacks/fixture.h"

namespace levin::test::early_stopping_test {

/// Validates and ends epochs with these values of val_loss; the number of epochs until it stops.
int64_t epochs_until_stop(FakeLoop& loop, EarlyStopping& callback,
                          const std::vector<double>& values) {
  callback.on_fit_start(loop.run);
  int64_t epochs = 0;
  for (const double value : values) {
    loop.module.set_weight(value);
    ++loop.run.progress().global_step;
    loop.validate(callback, {{"val_loss", value}});
    ++epochs;
    if (loop.end_epoch(callback)) break;
  }
  callback.on_train_end(loop.run);
  loop.boundary();
  return epochs;
}

EarlyStoppingOptions watching_val_loss() {
  EarlyStoppingOptions options;
  options.monitor = "val_loss";
  return options;
}

TEST(EarlyStopping, RefusesOptionsThatCannotBe) {
  EXPECT_THROW(EarlyStopping(), ConfigError);
  EXPECT_THROW(EarlyStopping({.monitor = "val_loss", .mode = "up"}), ConfigError);
  EXPECT_THROW(EarlyStopping({.monitor = "val_loss", .patience = -1}), ConfigError);
  EXPECT_THROW(EarlyStopping({.monitor = "val_loss", .min_delta = -0.1}), ConfigError);
}

TEST(EarlyStopping, StopsAfterPatienceChecksWithoutImprovement) {
  FakeLoop loop;
  EarlyStopping callback(watching_val_loss());
  EXPECT_EQ(epochs_until_stop(loop, callback, {5, 4, 3, 3, 3.5, 3, 2, 1}), 6);
  EXPECT_EQ(callback.stopped_epoch(), 5);
  EXPECT_EQ(callback.best_score(), 3.0);
  EXPECT_EQ(callback.wait_count(), 3);
  EXPECT_EQ(loop.stop_reason, callback.stopping_reason());
  EXPECT_NE(loop.stop_reason.find("val_loss"), std::string::npos) << loop.stop_reason;
}

TEST(EarlyStopping, DoesNotStopWhileTheMetricImproves) {
  FakeLoop loop;
  EarlyStopping callback(watching_val_loss());
  EXPECT_EQ(epochs_until_stop(loop, callback, {5, 6, 6, 4, 5, 5, 3}), 7);
  EXPECT_FALSE(callback.stopped_epoch());
  EXPECT_TRUE(loop.stop_reason.empty());
}

TEST(EarlyStopping, MaxModeTakesMoreAsBetter) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .patience = 2, .mode = "max"});
  EXPECT_EQ(epochs_until_stop(loop, callback, {0.5, 0.6, 0.55, 0.6, 0.9}), 4);
  EXPECT_EQ(callback.best_score(), 0.6);
}

TEST(EarlyStopping, AChangeOfAtMostMinDeltaIsNoImprovement) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .min_delta = 0.5, .patience = 2});
  EXPECT_EQ(epochs_until_stop(loop, callback, {4, 3.5, 3.6, 1}), 3);
  FakeLoop other;
  EarlyStopping looser({.monitor = "val_loss", .min_delta = 0.4, .patience = 2});
  EXPECT_EQ(epochs_until_stop(other, looser, {4, 3.5, 3.6, 1}), 4);
}

TEST(EarlyStopping, StopsAtNanAndInfinityUnlessToldNotTo) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
    FakeLoop loop;
    EarlyStopping callback(watching_val_loss());
    EXPECT_EQ(epochs_until_stop(loop, callback, {2, bad, 1}), 2);
    EXPECT_EQ(callback.best_score(), 2.0);
    FakeLoop other;
    EarlyStopping patient({.monitor = "val_loss", .check_finite = false});
    EXPECT_EQ(epochs_until_stop(other, patient, {2, bad, 1}), 3);
  }
}

TEST(EarlyStopping, StopsAtTheStoppingAndTheDivergenceThreshold) {
  FakeLoop loop;
  EarlyStopping goal({.monitor = "val_loss", .stopping_threshold = 1.0});
  EXPECT_EQ(epochs_until_stop(loop, goal, {2, 1, 0.9, 0.8}), 3);
  EXPECT_EQ(goal.best_score(), 0.9);
  FakeLoop other;
  EarlyStopping limit({.monitor = "val_loss", .divergence_threshold = 10.0});
  EXPECT_EQ(epochs_until_stop(other, limit, {2, 10, 10.5, 1}), 3);
}

TEST(EarlyStopping, RestoresTheBestWeightsWhenItStops) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .patience = 2, .restore_best_weights = true});
  epochs_until_stop(loop, callback, {5, 3, 4, 4.5});
  EXPECT_EQ(loop.module.value(), 3.0);
}

TEST(EarlyStopping, RestoresTheBestWeightsWhenTrainingEndsForAnotherReason) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .patience = 9, .restore_best_weights = true});
  EXPECT_EQ(epochs_until_stop(loop, callback, {5, 3, 4}), 3);
  EXPECT_EQ(loop.module.value(), 3.0);
  FakeLoop other;
  EarlyStopping without({.monitor = "val_loss", .patience = 9});
  epochs_until_stop(other, without, {5, 3, 4});
  EXPECT_EQ(other.module.value(), 4.0);
}

TEST(EarlyStopping, GoesOnCountingAndKeepsTheBestWeightsAfterAResume) {
  FakeLoop loop;
  EarlyStopping before({.monitor = "val_loss", .restore_best_weights = true});
  epochs_until_stop(loop, before, {5, 2, 3});
  const StateDict state = before.state_dict().clone();

  FakeLoop resumed;
  resumed.run.progress().global_step = 3;
  EarlyStopping after({.monitor = "val_loss", .restore_best_weights = true});
  after.load_state_dict(state);
  EXPECT_EQ(epochs_until_stop(resumed, after, {4, 4, 4}), 2);
  EXPECT_EQ(after.best_score(), 2.0);
  EXPECT_EQ(resumed.module.value(), 2.0);
}

TEST(EarlyStopping, ASecondFitCountsAnew) {
  FakeLoop loop;
  EarlyStopping callback(watching_val_loss());
  epochs_until_stop(loop, callback, {1, 2, 2, 2});
  EXPECT_EQ(epochs_until_stop(loop, callback, {5, 4, 3, 2, 2}), 5);
  EXPECT_FALSE(callback.stopped_epoch());
}

TEST(EarlyStopping, AStaleValidationMetricIsNotCountedTwice) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .patience = 1});
  callback.on_fit_start(loop.run);
  loop.end_epoch(callback);  // validates every second epoch only
  loop.validate(callback, {{"val_loss", 1.0}});
  EXPECT_FALSE(loop.end_epoch(callback));
  EXPECT_FALSE(loop.end_epoch(callback)) << "no new value, no check";
}

TEST(EarlyStopping, ATrainingMetricIsCheckedAtTheEndOfEpochs) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "train_loss", .patience = 1});
  callback.on_fit_start(loop.run);
  EXPECT_FALSE(loop.end_epoch(callback, {{"train_loss", 1.0}}));
  loop.validate(callback, {{"val_loss", 1.0}});
  EXPECT_FALSE(loop.boundary());
  EXPECT_TRUE(loop.end_epoch(callback, {{"train_loss", 1.0}}));
}

TEST(EarlyStopping, TheSanityCheckDoesNotCount) {
  FakeLoop loop;
  EarlyStopping callback({.monitor = "val_loss", .patience = 1, .mode = "max"});
  callback.on_fit_start(loop.run);
  loop.run.progress().stage = Stage::sanity_check;
  loop.validate(callback, {{"val_loss", 100.0}});
  EXPECT_FALSE(callback.best_score());
}

TEST(EarlyStopping, AMonitorNobodyLoggedIsAModuleErrorUnlessNotStrict) {
  for (const bool strict : {true, false}) {
    FakeLoop loop;
    EarlyStopping callback({.monitor = "val_los", .strict = strict});
    callback.on_fit_start(loop.run);
    loop.validate(callback, {{"val_loss", 1.0}});
    if (strict) {
      EXPECT_THROW(loop.end_epoch(callback), ModuleError);
    } else {
      EXPECT_FALSE(loop.end_epoch(callback));
    }
  }
}

/// Its validation loss goes down for three epochs, then up.
class Valley : public OneWeight {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = (weight * batch.target()).mean();
    step.log("train_loss", loss);
    return loss;
  }
  void validation_step(const Batch&, Step& step) override {
    set_weight(static_cast<double>(step.epoch()));
    step.log("val_loss", std::abs(static_cast<double>(step.epoch()) - 2.0));
  }
  Optimizers configure_optimizers() override {
    return std::make_unique<torch::optim::SGD>(parameters(), 1e-3);
  }
};

// Row 9: iterate until a stopping rule says enough.
TEST(EarlyStopping, StopsAFitAndPutsBackTheBestWeights) {
  TemporaryFolder folder;
  SmallData data;
  Valley model;
  Trainer trainer({.max_epochs = 50, .default_root_dir = folder.path().string()});
  auto& stopping =
      trainer.add<EarlyStopping>({.monitor = "val_loss", .restore_best_weights = true});
  const History history = trainer.fit(model, data);
  EXPECT_EQ(history.epochs.size(), 6U);
  EXPECT_EQ(history.stop_reason, stopping.stopping_reason());
  EXPECT_EQ(stopping.best_score(), 0.0);
  EXPECT_EQ(model.value(), 2.0);
}

TEST(EarlyStopping, AFitWithAMonitorNobodyLoggedFailsAfterOneEpoch) {
  TemporaryFolder folder;
  for (const bool with_validation : {true, false}) {
    SmallData data(8, with_validation);
    Valley model;
    Trainer trainer({.max_epochs = 50, .default_root_dir = folder.path().string()});
    trainer.add<EarlyStopping>({.monitor = "accuracy"});
    EXPECT_THROW(trainer.fit(model, data), ModuleError);
    EXPECT_EQ(trainer.run().epoch(), 0);
  }
}

}  // namespace levin::test::early_stopping_test
