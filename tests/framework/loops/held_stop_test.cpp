#include "framework/support.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include <levin/callbacks/early_stopping.h>

// min_epochs and min_steps hold a stop back, and what is decided then is decided by what is so
// then.

namespace levin::held_stop_test {

/// Logs these values, one for each validation.
class Listed : public test::Classifier {
 public:
  explicit Listed(std::vector<double> values) : values_(std::move(values)) {}
  void validation_step(const Batch&, Step& step) override {
    if (step.stage() != Stage::validate) return;
    step.log("value", values_.at(static_cast<size_t>(step.epoch())));
  }

 private:
  std::vector<double> values_;
};

/// Three steps an epoch.
class HeldStop : public ::testing::Test {
 protected:
  History fit(Listed& model, TrainerOptions options, EarlyStoppingOptions stopping,
              const std::string& checkpoint = {}) {
    options.accelerator = "cpu";
    options.default_root_dir = folder_.string();
    Trainer trainer(options);
    const auto& callback = trainer.add<EarlyStopping>(std::move(stopping));
    History history = trainer.fit(model, data_, checkpoint);
    stopped_epoch_ = callback.stopped_epoch();
    EXPECT_EQ(callback.stopping_reason().empty(), !stopped_epoch_);
    trainer.save_checkpoint(folder_ / "end.ckpt");
    return history;
  }

  test::TemporaryFolder folder_;
  test::PointsModule data_{18, {.batch_size = 6}};
  std::optional<int64_t> stopped_epoch_;
};

TEST_F(HeldStop, early_stopping_goes_on_if_the_metric_has_improved_by_min_epochs) {
  Listed model({5, 6, 7, 4, 3, 2, 1});
  const History history =
      fit(model, {.max_epochs = 7, .min_epochs = 4}, {.monitor = "value", .patience = 1});
  EXPECT_EQ(history.stop_reason, "max_epochs");
  EXPECT_EQ(history.epochs.size(), 7U);
  EXPECT_EQ(stopped_epoch_, std::nullopt);
}

TEST_F(HeldStop, early_stopping_ends_at_min_epochs_if_the_metric_is_no_better_then) {
  Listed model({5, 6, 4, 7, 8, 2, 1});
  const History history =
      fit(model, {.max_epochs = 7, .min_epochs = 5}, {.monitor = "value", .patience = 1});
  EXPECT_EQ(history.epochs.size(), 5U);
  EXPECT_EQ(stopped_epoch_, 4);
  EXPECT_NE(history.stop_reason.find("in the last 2 checks"), std::string::npos)
      << history.stop_reason;
}

TEST_F(HeldStop, a_value_that_was_infinite_before_min_epochs_stops_nothing_later) {
  Listed model({5, std::numeric_limits<double>::infinity(), 4, 3, 2});
  const History history = fit(model, {.max_epochs = 5, .min_epochs = 3}, {.monitor = "value"});
  EXPECT_EQ(history.stop_reason, "max_epochs");
}

TEST_F(HeldStop, min_steps_is_judged_in_the_same_way) {
  Listed model({5, 6, 4, 3, 2, 1});
  EXPECT_EQ(fit(model, {.max_epochs = 6, .min_steps = 9}, {.monitor = "value", .patience = 1})
                .stop_reason,
            "max_epochs");
  Listed worse({5, 6, 7, 8, 9, 9});
  EXPECT_EQ(fit(worse, {.max_epochs = 6, .min_steps = 9}, {.monitor = "value", .patience = 1})
                .epochs.size(),
            3U);
}

TEST_F(HeldStop, a_wish_that_is_held_survives_a_resume) {
  const EarlyStoppingOptions stopping{.monitor = "value", .patience = 1};
  Listed first({5, 6, 7, 8, 9});
  fit(first, {.max_epochs = 2, .min_epochs = 3}, stopping);
  Listed second({5, 6, 7, 8, 9});
  const History history =
      fit(second, {.max_epochs = 5, .min_epochs = 3}, stopping, (folder_ / "end.ckpt").string());
  EXPECT_EQ(history.epochs.size(), 3U);
  EXPECT_EQ(stopped_epoch_, 2);
}

TEST_F(HeldStop, a_wish_that_ends_a_resumed_fit_before_the_next_check_is_named) {
  const EarlyStoppingOptions stopping{.monitor = "value", .patience = 1};
  Listed first({9, 5, 9, 6, 9, 9, 9});  // epochs 1 and 3 validate
  fit(first, {.max_epochs = 4, .min_epochs = 5, .check_val_every_n_epoch = 2}, stopping);
  Listed second({9, 5, 9, 6, 9, 9, 9});
  const History history =
      fit(second, {.max_epochs = 7, .min_epochs = 5, .check_val_every_n_epoch = 2}, stopping,
          (folder_ / "end.ckpt").string());
  EXPECT_EQ(history.epochs.size(), 5U);
  EXPECT_NE(history.stop_reason.find("did not improve"), std::string::npos) << history.stop_reason;
  EXPECT_EQ(stopped_epoch_, 3) << "in which it decided";
}

/// Asks for the stop once, in the first epoch.
class AsksOnce : public test::Classifier {
 public:
  void on_train_epoch_end(levin::Run& run) override {
    if (run.epoch() == 0) run.stop("once");
  }
};

TEST_F(HeldStop, a_plain_request_stands_also_through_a_resume) {
  AsksOnce model;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 9, .min_epochs = 4});
  const History history = trainer.fit(model, data_);
  EXPECT_EQ(history.stop_reason, "once");
  EXPECT_EQ(history.epochs.size(), 4U);

  Trainer first({.accelerator = "cpu", .max_epochs = 2, .min_epochs = 4});
  first.fit(model, data_);
  first.save_checkpoint(folder_ / "held.ckpt");
  Trainer second({.accelerator = "cpu", .max_epochs = 9, .min_epochs = 4});
  const History resumed = second.fit(model, data_, (folder_ / "held.ckpt").string());
  EXPECT_EQ(resumed.stop_reason, "once");
  EXPECT_EQ(resumed.epochs.size(), 4U);
}

}  // namespace levin::held_stop_test
