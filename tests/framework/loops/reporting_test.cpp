#include <levin/framework/loops/reporting.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/callbacks/early_stopping.h>
#include <levin/framework/loggers/console_logger.h>
#include <levin/framework/loops/loss_watch.h>
#include <levin/framework/loops/validation.h>
#include <levin/framework/strategies/single_device.h>
#include <levin/framework/trainer/trainer.h>

#include "framework/message_of.h"

namespace levin::reporting_test {

/// Writes down the rows it gets.
class Rows : public Logger {
 public:
  struct Row {
    MetricMap metrics;
    int64_t step;
    bool of_epoch;
    bool operator==(const Row&) const = default;
  };
  void start(Run&) override {}
  void log_metrics(const MetricMap& metrics, int64_t, int64_t step) override {
    rows.push_back({metrics, step, false});
  }
  void log_epoch_metrics(const MetricMap& metrics, int64_t, int64_t step) override {
    rows.push_back({metrics, step, true});
  }
  std::string state_key() const override { return "Rows"; }
  std::vector<Row> rows;
};

/// The parts of a loop, without a Trainer.
struct Fixture {
  test::Classifier module;
  test::PointsModule data{12, {.batch_size = 6}};
  SingleDeviceStrategy strategy{at::kCPU};
  HookList hooks;
  std::vector<Callback*> callbacks;
  Rows rows;
  std::vector<Logger*> loggers{&rows};
  TrainerOptions options;
  RunControl run;
  ThreadScope threads;
  LoopParts parts{module,  data,    strategy, hooks,   callbacks,
                  loggers, options, run,      nullptr, &threads};

  /// A pass that has logged 2 and 4 as "a" in two batches of one row.
  LoggedValues pass() {
    LoggedValues metrics;
    metrics.begin_epoch();
    for (const double value : {2.0, 4.0}) {
      metrics.begin_window();
      metrics.begin_batch(1, 0, 1);
      metrics.log("a", value, {.prog_bar = true}, /*on_step=*/true, /*on_epoch=*/true);
    }
    return metrics;
  }
};

TEST(Reporting, a_pass_ends_with_values_that_the_run_shows_and_returns) {
  Fixture fixture;
  LoggedValues metrics = fixture.pass();
  const MetricMap values = publish_epoch_values(fixture.parts, metrics);
  EXPECT_EQ(values, (MetricMap{{"a", 3.0}, {"a_epoch", 3.0}}));
  EXPECT_EQ(fixture.run.metrics(), values);
  EXPECT_EQ(fixture.run.progress_bar_metrics(), (MetricMap{{"a_epoch", 3.0}}));
  EXPECT_TRUE(fixture.rows.rows.empty());
}

TEST(Reporting, loggers_get_a_row_of_the_step_and_one_of_the_pass) {
  Fixture fixture;
  LoggedValues metrics = fixture.pass();
  fixture.run.progress().global_step = 7;
  log_step_values(fixture.parts, metrics, 6);
  log_epoch_values(fixture.parts, metrics);
  LoggedValues nothing;
  log_step_values(fixture.parts, nothing, 6);
  log_epoch_values(fixture.parts, nothing);
  EXPECT_EQ(fixture.rows.rows,
            (std::vector<Rows::Row>{{{{"a_step", 4.0}}, 6, false}, {{{"a_epoch", 3.0}}, 6, true}}));
}

// trials 14; Lightning: "The number of training batches is smaller than the logging interval".
TEST(Reporting, an_epoch_shorter_than_log_every_n_steps_is_warned_of) {
  const auto printed = [](Fixture& fixture, std::optional<int64_t> batches) {
    testing::internal::CaptureStderr();
    warn_of_short_epochs(fixture.parts, batches);
    return testing::internal::GetCapturedStderr();
  };
  Fixture first;
  EXPECT_EQ(printed(first, 49),
            "warning: an epoch has 49 steps, fewer than log_every_n_steps = 50, so that values "
            "logged in steps, such as train_loss, get into the logs of few epochs or of none; set "
            "log_every_n_steps to 49 or less to see them in every epoch\n");
  EXPECT_EQ(printed(first, 48), "") << "it was said";
  Fixture fixture;
  EXPECT_EQ(printed(fixture, 50), "");
  EXPECT_EQ(printed(fixture, std::nullopt), "");
  Fixture accumulating;
  accumulating.options.accumulate_grad_batches = 3;
  EXPECT_NE(printed(accumulating, 50).find("an epoch has 17 steps"), std::string::npos);
  fixture.options.accumulate_grad_batches = 3;
  fixture.options.log_every_n_steps = 0;
  EXPECT_EQ(printed(fixture, 50), "");
  fixture.options.log_every_n_steps = 50;
  fixture.loggers.clear();  // as on ranks other than 0, and with fast_dev_run
  EXPECT_EQ(printed(fixture, 50), "");
  ConsoleLogger epochs_only;
  fixture.loggers = {&epochs_only};
  EXPECT_EQ(printed(fixture, 50), "");
}

TEST(Reporting, fit_warns_of_a_short_epoch_once) {
  test::TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.max_epochs = 3, .default_root_dir = folder.string()});
  trainer.add_logger(std::make_unique<Rows>());
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const std::string printed = testing::internal::GetCapturedStderr();
  const auto first = printed.find("an epoch has 5 steps");
  EXPECT_NE(first, std::string::npos) << printed;
  EXPECT_EQ(printed.find("an epoch has", first + 1), std::string::npos) << printed;
}

TEST(Reporting, a_loss_on_a_device_is_looked_at_only_when_the_device_may_be_waited_for) {
  Fixture fixture;
  const Optimizers none;
  LossWatch watch(fixture.parts, none);
  const auto elsewhere = torch::empty({}, torch::kMeta);  // to read it is an error
  EXPECT_NO_THROW(watch.look(elsewhere, /*may_wait=*/false));
  EXPECT_ANY_THROW(watch.look(elsewhere, /*may_wait=*/true));
  EXPECT_TRUE(watch.has_seen_none());
  watch.look(torch::tensor(1.0), /*may_wait=*/false);
  EXPECT_FALSE(watch.has_seen_none());
}

TEST(Reporting, a_loss_that_falls_below_zero_is_no_explosion_and_its_sign_is_said) {
  Fixture fixture;
  const Optimizers none;
  LossWatch falling(fixture.parts, none);
  testing::internal::CaptureStderr();
  for (const double loss : {0.05, -150.0, -1e6}) falling.look(torch::tensor(loss), true);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  LossWatch rising(fixture.parts, none);
  testing::internal::CaptureStderr();
  for (const double loss : {-2.0, 1999.0, 2001.0}) rising.look(torch::tensor(loss), true);
  EXPECT_TRUE(test::says(testing::internal::GetCapturedStderr(),
                         {"it is 2001 after", "and was -2 when this fit began"}));
}

TEST(Reporting, lost_values_are_named_only_if_a_logger_would_have_kept_them) {
  Fixture fixture;
  LoggedValues metrics = fixture.pass();
  metrics.log("b", 5.0, {}, /*on_step=*/true, /*on_epoch=*/false);
  ConsoleLogger epochs_only;
  fixture.loggers = {&epochs_only};
  testing::internal::CaptureStderr();
  warn_of_lost_values(fixture.parts, metrics);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  fixture.loggers = {&epochs_only, &fixture.rows};
  fixture.run.progress().global_step = 1;
  testing::internal::CaptureStderr();
  warn_of_lost_values(fixture.parts, metrics);
  EXPECT_TRUE(test::says(testing::internal::GetCapturedStderr(),
                         {"the loggers got no value of b:", "the end of the fit after 1 step."}));
}

// What a hook within a validation sees of the training step before it.
TEST(Reporting, kept_step_values_are_shown_while_other_values_are_collected) {
  Fixture fixture;
  LoggedValues metrics = fixture.pass();
  LoggedValues other;
  {
    const LoggingScope logging(fixture.run, &metrics);
    fixture.run.keep_step_values();
    const LoggingScope within(fixture.run, &other);
    EXPECT_EQ(fixture.run.metrics(), (MetricMap{{"a", 4.0}, {"a_step", 4.0}}));
  }
  EXPECT_EQ(fixture.run.known_metrics(), (MetricMap{{"a", 4.0}, {"a_step", 4.0}}));
  EXPECT_EQ(fixture.run.known_progress_bar(), (MetricMap{{"a_step", 4.0}}));
}

/// Logs "value" in two batches of each epoch e: first 10 - 4e, then 1 + e. The last value rises
/// from epoch to epoch, and the mean, 5.5 - 1.5e, falls.
class TwoValues : public test::Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto epoch = static_cast<double>(step.epoch());
    const double value = step.batch_index() == 0 ? 10.0 - 4.0 * epoch : 1.0 + epoch;
    step.log("value", value, {.on_step = true, .on_epoch = true});
    return Classifier::training_step(batch, step);
  }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    seen_in_steps.push_back(step.run().metrics().at("value"));
  }
  void on_train_end(levin::Run& run) override {
    learning_rate = run.optimizers().entries().front().optimizer->groups()[0].learning_rate;
  }
  Optimizers configure_optimizers() override {
    return {SGD(parameters(), {.learning_rate = 0.5}),
            ReduceLROnPlateau({.patience = 0}),
            {.monitor = "value"}};
  }
  std::vector<double> seen_in_steps;
  double learning_rate = 0.0;
};

TEST(Reporting, after_an_epoch_the_plain_name_has_the_epochs_value_for_everybody) {
  TwoValues module;
  test::PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 3});
  const auto& stopping = trainer.add<EarlyStopping>({.monitor = "value", .patience = 1});
  const History history = trainer.fit(module, data);
  EXPECT_EQ(module.seen_in_steps, (std::vector<double>{10.0, 1.0, 6.0, 2.0, 2.0, 3.0}));
  EXPECT_EQ(history.values("value"), (std::vector<double>{5.5, 4.0, 2.5}));
  EXPECT_EQ(history.values("value_epoch"), history.values("value"));
  EXPECT_EQ(history.values("value_step"), (std::vector<double>{1.0, 2.0, 3.0}));
  EXPECT_EQ(trainer.run().metrics().at("value"), 2.5);
  EXPECT_EQ(stopping.best_score(), 2.5);
  EXPECT_EQ(module.learning_rate, 0.5) << "the plateau scheduler saw the last steps";
}

TEST(Validation, is_due_by_the_batches_counted_over_all_epochs) {
  Fixture fixture;
  fixture.options.val_check_interval = 5;
  fixture.options.check_val_every_n_epoch.reset();
  Optimizers none;
  Schedules schedules(none);
  Validation validation(fixture.parts, fixture.data.val_dataloader(), schedules, 2);
  validation.load_from(Value::Object{{"total_batches", 3}});
  validation.count_batch();
  EXPECT_FALSE(validation.is_due(/*is_last=*/true, /*at_boundary=*/true));
  validation.count_batch();
  EXPECT_TRUE(validation.is_due(/*is_last=*/false, /*at_boundary=*/true));
  Value saved;
  validation.save_to(saved);
  EXPECT_EQ(saved, Value(Value::Object{{"total_batches", 5}}));
}

TEST(Validation, tells_schedulers_by_steps_that_its_metrics_have_new_values) {
  Fixture fixture;
  Optimizers optimizers(SGD(fixture.module.parameters(), {.learning_rate = 0.1}));
  optimizers.add_scheduler(std::make_unique<ReduceLROnPlateau>(),
                           {.interval = Interval::step, .monitor = "val_loss"});
  Schedules schedules(optimizers);
  Validation validation(fixture.parts, fixture.data.val_dataloader(), schedules, 2);
  EXPECT_TRUE(schedules.reads_next(Interval::step)) << "who logs the metric isn't known yet";
  for (int i = 0; i < 2; ++i) {
    validation.run();
    EXPECT_TRUE(schedules.reads_next(Interval::step));
    observe_metrics(fixture.parts, schedules, Interval::step, /*complete=*/true);
    EXPECT_FALSE(schedules.reads_next(Interval::step));
    observe_metrics(fixture.parts, schedules, Interval::step, /*complete=*/true);
  }
  EXPECT_TRUE(schedules.monitors(/*never_seen=*/true).empty());
}

TEST(Validation, shows_its_metrics_and_leaves_the_progress_of_the_fit_alone) {
  Fixture fixture;
  fixture.run.progress() = Progress{.stage = Stage::fit, .global_step = 4, .batch = 2};
  Optimizers none;
  Schedules schedules(none);
  Validation validation(fixture.parts, fixture.data.val_dataloader(), schedules, 2);
  ASSERT_TRUE(validation.has_batches());
  validation.run();
  EXPECT_TRUE(fixture.run.metrics().contains("val_loss"));
  EXPECT_EQ(fixture.run.stage(), Stage::fit);
  EXPECT_EQ(fixture.run.progress().batch, 2);
  EXPECT_EQ(fixture.rows.rows.size(), 1U);
  EXPECT_TRUE(fixture.module.is_training());
  fixture.run.known_metrics().clear();
  validation.check_sanity();
  EXPECT_TRUE(fixture.run.metrics().empty());
  EXPECT_EQ(fixture.rows.rows.size(), 1U);
}

}  // namespace levin::reporting_test
