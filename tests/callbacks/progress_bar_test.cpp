#include <levin/callbacks/progress_bar.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/run_control.h>

#include "callbacks/fixture.h"

namespace levin::test::progress_bar_test {

constexpr char kEscape = '\x1b';

/// Plays two epochs of four batches with a validation of two.
void play(ProgressBar& bar) {
  FakeLoop loop;
  RunControl& run = loop.run;
  run.progress().max_epochs = 2;
  bar.setup(Stage::fit, run);
  bar.on_train_start(run);
  for (int epoch = 0; epoch < 2; ++epoch) {
    bar.on_train_epoch_start(run);
    for (int i = 0; i < 4; ++i) loop.step(bar);
    const Progress training = run.progress();
    run.progress() = Progress{.stage = Stage::validate, .epoch = epoch, .num_batches = 2};
    bar.on_validation_start(run);
    LoggedValues unused;
    StepControl step(run, unused, false);
    for (int i = 0; i < 2; ++i) {
      ++run.progress().batch;
      bar.on_validation_batch_end(Batch(), step);
    }
    bar.on_validation_end(run);
    run.progress() = training;
    run.known_progress_bar()["val_loss"] = 0.25;
    loop.end_epoch(bar);
  }
  bar.on_train_end(run);
}

TEST(ProgressBar, WritesOnePlainLineAnEpochToAFile) {
  Capture out;
  ProgressBar bar({}, out.file(), /*live=*/false);
  play(bar);
  const auto lines = lines_of(out.text());
  ASSERT_EQ(lines.size(), 2U) << out.text();
  EXPECT_EQ(lines[0].find("Epoch 0/1 100% 4/4 ["), 0U) << lines[0];
  EXPECT_EQ(lines[1].find("Epoch 1/1 100% 4/4 ["), 0U) << lines[1];
  for (const auto& line : lines) {
    EXPECT_NE(line.find(" it/s] val_loss=0.25"), std::string::npos) << line;
  }
}

TEST(ProgressBar, PlainLinesHoldNoControlCodes) {
  Capture out;
  ProgressBar bar({.plain_interval = 1e-9}, out.file(), /*live=*/false);
  play(bar);
  const std::string text = out.text();
  EXPECT_GT(lines_of(text).size(), 8U) << "a line a batch, with that interval";
  EXPECT_EQ(text.find(kEscape), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(ProgressBar, DrawsALiveLineOverItselfAndEndsIt) {
  Capture out;
  ProgressBar bar({.refresh_interval = 0.0}, out.file(), /*live=*/true, /*width=*/70);
  play(bar);
  const std::string text = out.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_EQ(text.back(), '\n');
  EXPECT_NE(text.find("50%|"), std::string::npos) << text;
  EXPECT_NE(text.find("Epoch 0/1 validation"), std::string::npos) << text;
}

TEST(ProgressBar, LiveLinesFitTheTerminal) {
  for (const int width : {20, 40, 200}) {
    Capture out;
    ProgressBar bar({.refresh_interval = 0.0}, out.file(), /*live=*/true, width);
    play(bar);
    std::string text = out.text();
    text.pop_back();
    size_t draws = 0;
    for (size_t at = text.find('\r'); at != std::string::npos; ++draws) {
      const size_t end = text.find(kEscape, at);
      ASSERT_NE(end, std::string::npos);
      EXPECT_LT(end - at - 1, static_cast<size_t>(width));
      at = text.find('\r', end);
    }
    EXPECT_GE(draws, 14U);
  }
}

TEST(ProgressBar, RedrawsNoOftenerThanTheInterval) {
  Capture out;
  ProgressBar bar({.refresh_interval = 3600.0}, out.file(), /*live=*/true, 80);
  play(bar);
  const std::string text = out.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 3) << "the first batch and two epoch ends";
}

TEST(ProgressBar, RefreshRateZeroIsSilent) {
  Capture out;
  ProgressBar bar({.refresh_rate = 0}, out.file(), /*live=*/true, 80);
  play(bar);
  EXPECT_EQ(out.text(), "");
  EXPECT_THROW(ProgressBar({.refresh_rate = -1}), ConfigError);
}

TEST(ProgressBar, OtherRanksAreSilent) {
  Capture out;
  ProgressBar bar({}, out.file(), /*live=*/false);
  FakeLoop loop;
  OtherRank ranks;
  loop.run.set_ranks(ranks);
  bar.setup(Stage::fit, loop.run);
  bar.on_train_start(loop.run);
  loop.end_epoch(bar);
  EXPECT_EQ(out.text(), "");
}

TEST(ProgressBar, ShowsTheStagesOutsideFit) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Capture out;
  Trainer trainer({.default_root_dir = folder.string()});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), /*live=*/false));
  trainer.validate(model, data);
  trainer.test(model, data);
  trainer.predict(model, data);
  const auto lines = lines_of(out.text());
  ASSERT_EQ(lines.size(), 3U) << out.text();
  EXPECT_EQ(lines[0].find("Validation 100% 4/4"), 0U) << lines[0];
  EXPECT_EQ(lines[1].find("Test 100% 4/4"), 0U) << lines[1];
  EXPECT_EQ(lines[2].find("Predict 100% 4/4"), 0U) << lines[2];
}

TEST(ProgressBar, AFitShowsEveryEpochWithItsMetrics) {
  class Shown : public Classifier {
    void validation_step(const Batch& batch, Step& step) override {
      step.log("val_loss", torch::cross_entropy_loss(forward(batch.input()), batch.target()),
               {.prog_bar = true});
    }
  };
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Shown model;
  Capture out;
  Trainer trainer({.max_epochs = 3, .default_root_dir = folder.string()});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), /*live=*/false));
  trainer.fit(model, data);
  const auto lines = lines_of(out.text());
  ASSERT_EQ(lines.size(), 3U) << out.text();
  EXPECT_EQ(lines[2].find("Epoch 2/2 100% 2/2"), 0U) << lines[2];
  EXPECT_NE(lines[2].find("val_loss="), std::string::npos) << lines[2];
}

TEST(ProgressBar, TheLastLineOfAnEpochShowsItsLastStepAndTheWholeEpoch) {
  class Logging : public Classifier {
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      const auto number = static_cast<double>(step.batch_index());
      step.log("step_only", number, {.prog_bar = true});
      step.log("both", number, {.on_step = true, .on_epoch = true, .prog_bar = true});
      return Classifier::training_step(batch, step);
    }
  };
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Logging model;
  Capture out;
  Trainer trainer({.max_epochs = 1, .default_root_dir = folder.string()});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), /*live=*/false));
  trainer.fit(model, data);
  EXPECT_NE(out.text().find(" both_epoch=0.5, both_step=1, step_only=1"), std::string::npos)
      << out.text();
}

}  // namespace levin::test::progress_bar_test
