#include <levin/callbacks/timer.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include "callbacks/fixture.h"

namespace levin::test::timer_test {

/// A clock that only the test moves.
class Clock {
 public:
  Clock() {
    files::inject_clock([this] { return now; });
  }
  ~Clock() { files::inject_clock({}); }
  double now = 5.0;
};

TEST(Timer, RefusesADurationThatIsNone) {
  EXPECT_THROW(Timer({.duration = "soon"}), ConfigError);
  EXPECT_THROW(Timer({.interval = "hour"}), ConfigError);
}

TEST(Timer, StopsAtTheStepAtWhichTheTimeIsUp) {
  FakeLoop loop;
  Timer timer({.duration = "00:00:00:00", .verbose = false});
  timer.on_fit_start(loop.run);
  timer.on_train_start(loop.run);
  loop.step(timer);
  EXPECT_TRUE(loop.boundary());
  EXPECT_NE(loop.stop_reason.find("00:00:00:00"), std::string::npos) << loop.stop_reason;
}

TEST(Timer, DoesNotStopBeforeItsTime) {
  Clock clock;
  FakeLoop loop;
  Timer timer({.duration = "01:00:00:00"});
  timer.on_fit_start(loop.run);
  timer.on_train_start(loop.run);
  clock.now += 86399.0;
  loop.step(timer);
  EXPECT_FALSE(loop.end_epoch(timer));
  EXPECT_EQ(timer.time_remaining(), 1.0);
}

TEST(Timer, TheEpochIntervalDoesNotStopWithinAnEpoch) {
  Clock clock;
  FakeLoop loop;
  Timer timer({.duration = "00:00:00:01", .interval = "epoch", .verbose = false});
  StateDict spent = timer.state_dict();
  spent.values["fit_seconds"] = 0.999;
  timer.load_state_dict(spent);
  timer.on_fit_start(loop.run);
  timer.on_train_start(loop.run);
  clock.now += 0.5;
  loop.step(timer);
  EXPECT_FALSE(loop.boundary());
  EXPECT_TRUE(loop.end_epoch(timer));
}

TEST(Timer, AResumedRunHasTheTimeThatWasLeft) {
  Timer before({.duration = "00:00:01:00"});
  StateDict state = before.state_dict();
  state.values["fit_seconds"] = 59.0;
  Clock clock;
  FakeLoop loop;
  Timer after({.duration = "00:00:01:00", .verbose = false});
  after.load_state_dict(state);
  after.on_fit_start(loop.run);
  EXPECT_EQ(after.time_elapsed(), 59.0);
  after.on_train_start(loop.run);
  EXPECT_EQ(after.time_remaining(), 1.0);
  state.values["fit_seconds"] = 61.0;
  after.load_state_dict(state);
  after.on_fit_start(loop.run);
  after.on_train_start(loop.run);
  EXPECT_TRUE(loop.boundary());
}

TEST(Timer, ASecondFitStartsAtZeroAndEachKindOfWorkIsMeasured) {
  FakeLoop loop;
  Timer timer;
  timer.on_fit_start(loop.run);
  timer.on_train_start(loop.run);
  timer.on_validation_start(loop.run);
  timer.on_validation_end(loop.run);
  timer.on_train_end(loop.run);
  EXPECT_GT(timer.time_elapsed(), 0.0);
  EXPECT_GT(timer.time_elapsed(Stage::validate), 0.0);
  EXPECT_EQ(timer.time_elapsed(Stage::test), 0.0);
  EXPECT_FALSE(timer.time_remaining());
  timer.on_fit_start(loop.run);
  EXPECT_EQ(timer.time_elapsed(), 0.0);
}

TEST(Timer, SaysOnceThatTheTimeIsUp) {
  FakeLoop loop;
  loop.run.progress().min_epochs = 2;
  Timer timer({.duration = "00:00:00:00"});
  for (int fit = 0; fit < 2; ++fit) {
    timer.on_fit_start(loop.run);
    ::testing::internal::CaptureStderr();
    timer.on_train_start(loop.run);
    loop.boundary();
    for (int i = 0; i < 3; ++i) {
      loop.step(timer);
      loop.boundary();
    }
    loop.end_epoch(timer);
    EXPECT_EQ(::testing::internal::GetCapturedStderr(),
              "timer: the training time of 00:00:00:00 is over\n")
        << "in fit " << fit;
  }
}

TEST(Timer, StopsAFit) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 1000, .default_root_dir = folder.string()});
  trainer.add<Timer>({.duration = "00:00:00:00", .verbose = false});
  const History history = trainer.fit(model, data);
  EXPECT_LE(trainer.run().global_step(), 1);
  EXPECT_EQ(history.stop_reason.find("timer:"), 0U) << history.stop_reason;
}

}  // namespace levin::test::timer_test
