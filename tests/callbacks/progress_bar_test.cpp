#include <levin/callbacks/progress_bar.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/run_control.h>

#include <algorithm>

#include "callbacks/fixture.h"
#include "framework/screen.h"

namespace levin::test::progress_bar_test {

constexpr char kEscape = '\x1b';

Terminal on_terminal(int width) { return {.live = true, .width = width}; }

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
  ProgressBar bar({}, out.file(), Terminal{});
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
  ProgressBar bar({.plain_interval = 1e-9}, out.file(), Terminal{});
  play(bar);
  const std::string text = out.text();
  EXPECT_GT(lines_of(text).size(), 8U) << "a line a batch, with that interval";
  EXPECT_EQ(text.find(kEscape), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(ProgressBar, DrawsALiveLineOverItselfAndEndsIt) {
  Capture out;
  ProgressBar bar({.refresh_interval = 0.0}, out.file(), on_terminal(70));
  play(bar);
  const std::string text = out.text();
  EXPECT_NE(text.find("50%|"), std::string::npos) << text;
  Screen screen(70);
  screen.send(text);
  ASSERT_EQ(screen.lines().size(), 1U) << text;
  EXPECT_EQ(screen.lines()[0].find("Epoch 1/1 100%|"), 0U) << text;
  EXPECT_EQ(screen.row(), 1U) << "below it";
  EXPECT_EQ(screen.column(), 0U);
  EXPECT_EQ(screen.colored_cells(), 0) << "this terminal has no colors";
}

TEST(ProgressBar, AValidationHasALineBelowTheEpochsWhichRests) {
  Capture out;
  ProgressBar bar({.refresh_interval = 0.0}, out.file(), on_terminal(70));
  FakeLoop loop;
  bar.setup(Stage::fit, loop.run);
  bar.on_train_start(loop.run);
  loop.step(bar);
  Screen screen(70);
  screen.send(out.text());
  ASSERT_EQ(screen.lines().size(), 1U);
  const Progress training = loop.run.progress();
  loop.run.progress() = Progress{.stage = Stage::validate, .batch = 1, .num_batches = 2};
  bar.on_validation_start(loop.run);
  LoggedValues unused;
  StepControl step(loop.run, unused, false);
  bar.on_validation_batch_end(Batch(), step);
  screen = Screen(70);
  screen.send(out.text());
  ASSERT_EQ(screen.lines().size(), 2U) << out.text();
  EXPECT_EQ(screen.lines()[0].find("Epoch 0/9  25%|"), 0U) << screen.lines()[0];
  EXPECT_EQ(screen.lines()[1].find("  Validation  50%|"), 0U) << screen.lines()[1];
  bar.on_validation_end(loop.run);
  loop.run.progress() = training;
  loop.step(bar);
  screen = Screen(70);
  screen.send(out.text());
  ASSERT_EQ(screen.lines().size(), 1U) << out.text();
  EXPECT_EQ(screen.lines()[0].find("Epoch 0/9  50%|"), 0U) << screen.lines()[0];
}

TEST(ProgressBar, LiveLinesFitTheTerminal) {
  for (const int width : {1, 20, 40, 80, 300}) {
    Capture out;
    ProgressBar bar({.refresh_interval = 0.0}, out.file(), on_terminal(width));
    play(bar);
    const std::string text = out.text();
    EXPECT_GE(std::count(text.begin(), text.end(), kEscape), 14);
    Screen screen(width);
    screen.send(text);
    EXPECT_LE(screen.lines().size(), 1U) << "a line was wrapped: " << text;
  }
}

TEST(ProgressBar, AWideTerminalShowsTheLossesOfTheFitInColor) {
  PointsModule data(64, {.batch_size = 4});
  Classifier model;
  Capture out;
  Terminal terminal = on_terminal(120);
  terminal.color = terminal.unicode = true;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .num_sanity_val_steps = 0});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{.refresh_interval = 0.0}, out.file(),
                                            terminal));
  trainer.fit(model, data);
  Screen screen(120);
  screen.send(out.text());
  ASSERT_EQ(screen.lines().size(), 1U) << out.text();
  const std::string line = screen.lines()[0];
  EXPECT_EQ(line.find("Epoch 1/1 100%|████████████████████|"), 0U) << line;
  EXPECT_NE(line.find(" loss █"), std::string::npos) << "the first loss is the largest: " << line;
  EXPECT_EQ(line.substr(line.size() - 3), "▁") << line;
  EXPECT_FALSE(screen.colored());
  EXPECT_GT(screen.colored_cells(), 20);
}

TEST(ProgressBar, RedrawsNoOftenerThanTheInterval) {
  Capture out;
  ProgressBar bar({.refresh_interval = 3600.0}, out.file(), on_terminal(80));
  play(bar);
  Screen screen(80);
  const std::string text = out.text();
  screen.send(text);
  ASSERT_EQ(screen.lines().size(), 1U);
  EXPECT_EQ(screen.lines()[0].find("Epoch 1/1 100%|"), 0U) << "the last line is always shown";
  size_t draws = 0;
  for (size_t at = 0; (at = text.find("Epoch", at)) != std::string::npos; ++at) ++draws;
  EXPECT_EQ(draws, 3U) << "the first batch, the last line, and once more as it is left";
}

TEST(ProgressBar, AFitThatFailsLeavesTheCursorBelowTheLine) {
  class Failing : public Classifier {
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      if (step.batch_index() == 1) throw std::runtime_error("a fault of the test");
      return Classifier::training_step(batch, step);
    }
  };
  PointsModule data(16, {.batch_size = 8});
  Failing model;
  Capture out;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), on_terminal(80)));
  EXPECT_THROW(trainer.fit(model, data), std::runtime_error);
  Screen screen(80);
  screen.send(out.text());
  EXPECT_EQ(screen.lines().size(), 1U) << out.text();
  EXPECT_EQ(screen.row(), 1U);
}

TEST(ProgressBar, RefreshRateZeroIsSilent) {
  Capture out;
  ProgressBar bar({.refresh_rate = 0}, out.file(), on_terminal(80));
  play(bar);
  EXPECT_EQ(out.text(), "");
  EXPECT_THROW(ProgressBar({.refresh_rate = -1}), ConfigError);
}

TEST(ProgressBar, OtherRanksAreSilent) {
  Capture out;
  ProgressBar bar({}, out.file(), Terminal{});
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
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), Terminal{}));
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
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), Terminal{}));
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
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{}, out.file(), Terminal{}));
  trainer.fit(model, data);
  EXPECT_NE(out.text().find(" both_epoch=0.5, both_step=1, step_only=1"), std::string::npos)
      << out.text();
}

}  // namespace levin::test::progress_bar_test
