#include <levin/callbacks/monitor.h>
#include <levin/framework/core/error.h>

#include <limits>

#include "callbacks/fixture.h"

namespace levin::test::monitor_test {

TEST(Monitor, RefusesAnEmptyNameAndAnotherMode) {
  EXPECT_THROW(Monitor("Someone", "", "min"), ConfigError);
  EXPECT_THROW(Monitor("Someone", "val_loss", "lowest"), ConfigError);
}

TEST(Monitor, NanIsNeverBetter) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const char* mode : {"min", "max"}) {
    const Monitor monitor("Someone", "val_loss", mode);
    EXPECT_FALSE(monitor.is_better(kNan, monitor.worst()));
    EXPECT_FALSE(monitor.is_better(kNan, 0.0));
    EXPECT_TRUE(monitor.is_better(0.0, monitor.worst()));
  }
}

TEST(Monitor, TellsValidationMetricsFromTrainingMetrics) {
  FakeLoop loop;
  Monitor validation("Someone", "val_loss", "min");
  Monitor training("Someone", "train_loss", "min");
  loop.run.take_metrics({{"train_loss", 1.0}});
  for (Monitor* monitor : {&validation, &training}) monitor->on_validation_start(loop.run);
  loop.run.take_metrics({{"val_loss", 2.0}});
  for (Monitor* monitor : {&validation, &training}) monitor->on_validation_end(loop.run);
  EXPECT_EQ(validation.source(), Monitor::Source::validation);
  EXPECT_EQ(training.source(), Monitor::Source::training);
}

TEST(Monitor, ReportsAMetricThatNobodyLoggedAfterAnEpochWithValidation) {
  FakeLoop loop;
  Monitor monitor("EarlyStopping", "val_los", "min");
  loop.run.take_metrics({{"val_loss", 1.0}});
  monitor.on_validation_start(loop.run);
  monitor.on_validation_end(loop.run);
  try {
    monitor.on_train_epoch_end(loop.run);
    FAIL() << "nothing was thrown";
  } catch (const ModuleError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("EarlyStopping"), std::string::npos) << message;
    EXPECT_NE(message.find("val_los"), std::string::npos) << message;
    EXPECT_NE(message.find("val_loss"), std::string::npos) << message;
  }
}

TEST(Monitor, GivesEachValueOnce) {
  FakeLoop loop;
  Monitor monitor("Someone", "val_loss", "min");
  EXPECT_EQ(monitor.new_value(loop.run), std::nullopt);
  loop.run.take_metrics({{"val_loss", 1.0}});
  EXPECT_EQ(monitor.new_value(loop.run), 1.0);
  EXPECT_EQ(monitor.new_value(loop.run), std::nullopt);
  EXPECT_EQ(monitor.agreed_value(loop.run), 1.0);
  loop.run.take_metrics({{"val_loss", 1.0}});
  EXPECT_EQ(monitor.new_value(loop.run), 1.0) << "the same number, logged again";
  monitor.reset();
  EXPECT_EQ(monitor.new_value(loop.run), 1.0);
}

std::string printed(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Monitor, WarnsAfterTheSanityCheckOfAMetricThatValidationDoesNotLog) {
  FakeLoop loop;
  loop.run.progress().stage = Stage::sanity_check;
  loop.run.take_metrics({{"val_loss", 1.0}});
  const auto warning = [&](const char* name) {
    Monitor monitor("EarlyStopping", name, "min");
    return printed([&] {
      monitor.on_validation_end(loop.run);
      monitor.on_validation_end(loop.run);
    });
  };
  EXPECT_EQ(
      warning("val_los"),
      "warning: EarlyStopping watches 'val_los', but the validation before training didn't log "
      "it: it logs val_loss; did you mean 'val_loss'? Unless it is logged later, set monitor to "
      "the name of a metric that is logged\n");
  EXPECT_NE(warning("val_accuracy"), "");
  EXPECT_EQ(warning("train_loss"), "");
  EXPECT_EQ(warning("val_loss"), "");
}

TEST(Monitor, SaysAtTheEndThatAMetricThatMayBeMissingWas) {
  FakeLoop loop;
  Monitor monitor("EarlyStopping", "val_los", "min");
  monitor.on_train_epoch_end(loop.run, /*strict=*/false);
  EXPECT_EQ(printed([&] { monitor.on_train_end(loop.run, /*strict=*/false); }),
            "warning: EarlyStopping watches 'val_los', of which it got no value in this fit, so it "
            "has done nothing; log the metric, or set monitor to one that is logged\n");
}

TEST(Monitor, SaysOnceThatAMetricIsMissing) {
  FakeLoop loop;
  loop.run.progress().stage = Stage::sanity_check;
  Monitor monitor("EarlyStopping", "val_los", "min");
  const std::string text = printed([&] {
    monitor.on_validation_end(loop.run);
    loop.run.progress().stage = Stage::fit;
    monitor.on_train_epoch_end(loop.run, /*strict=*/false);
    monitor.on_train_end(loop.run, /*strict=*/false);
  });
  const size_t first = text.find("warning: ");
  EXPECT_EQ(first, 0U) << text;
  EXPECT_EQ(text.find("warning: ", first + 1), std::string::npos) << text;
}

TEST(Monitor, WaitsForAValidationThatIsYetToCome) {
  FakeLoop loop;
  Monitor monitor("EarlyStopping", "val_loss", "min");
  monitor.on_train_epoch_end(loop.run);  // check_val_every_n_epoch = 2: nothing yet
  EXPECT_THROW(monitor.on_train_end(loop.run), ModuleError);
}

TEST(Monitor, ReportsAMissingMetricAfterTheFirstEpochWhereNothingValidates) {
  FakeLoop loop;
  loop.run.progress().has_validation = false;
  Monitor monitor("EarlyStopping", "val_loss", "min");
  EXPECT_THROW(monitor.on_train_epoch_end(loop.run), ModuleError);
}

}  // namespace levin::test::monitor_test
