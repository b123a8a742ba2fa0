#include <levin/callbacks/early_stopping.h>

#include "callbacks/fixture.h"

// The options of EarlyStopping that say when it looks and what it says.

namespace levin::test::early_stopping_options_test {

/// Checks counted in an epoch with two validations, none of them the best: after each validation,
/// and after the end of the epoch.
std::vector<int64_t> waits(std::optional<bool> on_train_epoch_end, const char* monitor) {
  FakeLoop loop;
  EarlyStopping callback(
      {.monitor = monitor, .patience = 100, .check_on_train_epoch_end = on_train_epoch_end});
  callback.on_fit_start(loop.run);
  loop.step(callback, {{"train_loss", 0.0}});
  loop.validate(callback, {{"val_loss", 0.0}});
  loop.end_epoch(callback);
  const int64_t before = callback.wait_count();
  std::vector<int64_t> counts;
  for (int i = 0; i < 2; ++i) {
    loop.step(callback, {{"train_loss", 1.0}});
    loop.validate(callback, {{"val_loss", 1.0}});
    counts.push_back(callback.wait_count() - before);
  }
  loop.end_epoch(callback);
  counts.push_back(callback.wait_count() - before);
  return counts;
}

using Waits = std::vector<int64_t>;

TEST(EarlyStoppingOptions, ChecksWhereTheMonitorIsNewUnlessToldWhen) {
  EXPECT_EQ(waits({}, "val_loss"), (Waits{1, 2, 2}));
  EXPECT_EQ(waits({}, "train_loss"), (Waits{0, 0, 1}));
}

TEST(EarlyStoppingOptions, CheckOnTrainEpochEndChecksOnlyThere) {
  EXPECT_EQ(waits(true, "val_loss"), (Waits{0, 0, 1}));
  EXPECT_EQ(waits(true, "train_loss"), (Waits{0, 0, 1}));
}

TEST(EarlyStoppingOptions, NotOnTrainEpochEndChecksAfterEachValidation) {
  EXPECT_EQ(waits(false, "val_loss"), (Waits{1, 2, 2}));
  EXPECT_EQ(waits(false, "train_loss"), (Waits{1, 2, 2}));
}

TEST(EarlyStoppingOptions, AFitChecksOnceAnEpochWhereToldTo) {
  class Worse : public Classifier {
   public:
    void validation_step(const Batch&, Step& step) override {
      step.log("val_loss", static_cast<double>(step.global_step()));
    }
  };
  for (const auto& [at_epoch_end, steps] : {std::pair(true, 12), std::pair(false, 6)}) {
    Worse model;
    PointsModule data(32, {.batch_size = 8});  // 4 batches, a validation after each two
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 9,
                     .val_check_interval = 2,
                     .num_sanity_val_steps = 0});
    const auto& callback = trainer.add<EarlyStopping>(
        {.monitor = "val_loss", .patience = 2, .check_on_train_epoch_end = at_epoch_end});
    trainer.fit(model, data);
    EXPECT_EQ(trainer.run().global_step(), steps);
    EXPECT_TRUE(callback.stopped_epoch().has_value());
  }
}

std::string said_by(bool verbose) {
  FakeLoop loop;
  EarlyStopping callback(
      {.monitor = "val_loss", .patience = 2, .verbose = verbose, .restore_best_weights = true});
  callback.on_fit_start(loop.run);
  ::testing::internal::CaptureStderr();
  for (const double loss : {1.0, 0.5, 0.75, 0.625}) {
    loop.step(callback);
    loop.validate(callback, {{"val_loss", loss}});
    loop.end_epoch(callback);
  }
  callback.on_train_end(loop.run);
  EXPECT_NE(loop.stop_reason, "");
  return ::testing::internal::GetCapturedStderr();
}

TEST(EarlyStoppingOptions, VerboseSaysWhatEachCheckFound) {
  EXPECT_EQ(lines_of(said_by(true)),
            (std::vector<std::string>{
                "early stopping: val_loss = 1", "early stopping: val_loss = 0.5",
                "early stopping: val_loss = 0.75, no improvement (1 of 2)",
                "early stopping: val_loss = 0.625, no improvement (2 of 2), stopping",
                "early stopping: restoring the weights of epoch 1 (val_loss = 0.5)"}));
}

TEST(EarlyStoppingOptions, VerboseSaysThatAStopIsOnlyWantedWhileItIsHeldBack) {
  FakeLoop loop;
  loop.run.progress().min_epochs = 3;
  EarlyStopping callback({.monitor = "val_loss", .patience = 1, .verbose = true});
  callback.on_fit_start(loop.run);
  ::testing::internal::CaptureStderr();
  for (const double loss : {0.5, 0.75}) {
    loop.validate(callback, {{"val_loss", loss}});
    loop.end_epoch(callback);
  }
  EXPECT_EQ(lines_of(::testing::internal::GetCapturedStderr()),
            (std::vector<std::string>{
                "early stopping: val_loss = 0.5",
                "early stopping: val_loss = 0.75, no improvement (1 of 1), wants to stop"}));
}

TEST(EarlyStoppingOptions, SilenceIsTheDefault) { EXPECT_EQ(said_by(false), ""); }

}  // namespace levin::test::early_stopping_options_test
