#include <levin/framework/core/error.h>
#include <levin/framework/loggers/tensorboard_logger.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "callbacks/fixture.h"
#include "framework/loggers/event_files.h"
#include "framework/message_of.h"
#include "framework/python.h"

namespace levin::test::tensorboard_logger_test {

class TensorBoardLoggerTest : public ::testing::Test {
 protected:
  TensorBoardLoggerTest() { run.set_log_dir(folder.path() / "run"); }
  fs::path runs_folder() const { return folder.path() / "run"; }

  TemporaryFolder folder;
  RunControl run;
};

void log_row(TensorBoardLogger& logger, int64_t i) {
  logger.log_metrics({{i % 2 == 0 ? "a" : "b", 0.25 * static_cast<double>(i)}}, i / 2, i);
}

TEST_F(TensorBoardLoggerTest, AResumedRunEndsWithTheSameBytesWhereverItWasCut) {
  const StoppedClock clock;
  const auto log_rows = [&](TensorBoardLogger& logger, int64_t from, int64_t to) {
    logger.start(run);
    logger.log_hyper_parameters(Value::Object{{"seed", 1}});
    for (int64_t i = from; i < to; ++i) log_row(logger, i);
  };
  TensorBoardLogger whole;
  log_rows(whole, 0, 4);
  whole.finish(false);
  const std::string expected = events_in(runs_folder());
  for (int64_t saved = 0; saved <= 4; ++saved) {
    for (int64_t killed = saved; killed <= 4; ++killed) {
      fs::remove_all(runs_folder());
      StateDict state;
      {
        TensorBoardLogger before;
        log_rows(before, 0, saved);
        before.flush();
        state = before.state_dict();
        for (int64_t i = saved; i < killed; ++i) log_row(before, i);
      }
      TensorBoardLogger after;
      after.load_state_dict(state);
      log_rows(after, saved, 4);
      after.finish(false);
      EXPECT_EQ(events_in(runs_folder()), expected)
          << "saved after " << saved << " rows, killed after " << killed;
    }
  }
}

TEST_F(TensorBoardLoggerTest, AFitResumedFromItsMiddleWritesTheSameEvents) {
  const StoppedClock clock;
  const auto train = [&](const std::string& from) {
    PointsModule data(40, {.batch_size = 8, .shuffle = true, .seed = 7});
    torch::manual_seed(5);
    Classifier model;
    Trainer trainer({.max_epochs = 4, .log_every_n_steps = 2, .default_root_dir = folder.string()});
    trainer.add_logger<TensorBoardLogger>();
    trainer.add<SaveInTheMiddle>();
    trainer.fit(model, data, from);
    return events_in(folder.path() / "levin_logs" / "version_0");
  };
  const std::string through = train("");
  EXPECT_GT(through.size(), 1000U);
  const auto middle = folder.path() / "levin_logs" / "version_0" / "checkpoints" / "middle.ckpt";
  EXPECT_EQ(train(middle.string()), through);
  EXPECT_FALSE(fs::exists(folder.path() / "levin_logs" / "version_1")) << "it went on elsewhere";
}

TEST_F(TensorBoardLoggerTest, ATornFileKeepsItsWholeEventsAndAForeignOneIsLeftAlone) {
  const StoppedClock clock;
  StateDict state;
  fs::path path;
  {
    TensorBoardLogger logger;
    logger.start(run);
    for (int64_t i = 0; i < 3; ++i) log_row(logger, i);
    logger.flush();
    state = logger.state_dict();
    path = logger.path();
  }
  const std::string whole = events_in(runs_folder());
  fs::resize_file(path, fs::file_size(path) - 3);
  {
    TensorBoardLogger logger;
    logger.load_state_dict(state);
    ::testing::internal::CaptureStderr();
    logger.start(run);
    EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(), {"the missing events are lost"}));
    log_row(logger, 2);
    logger.flush();
    EXPECT_EQ(events_in(runs_folder()), whole);
  }
  const std::string foreign(whole.size() + 10, 'x');
  write(path, foreign);
  TensorBoardLogger logger;
  logger.load_state_dict(state);
  const auto message = message_of<CheckpointError>([&] { logger.start(run); });
  EXPECT_TRUE(says(message, {"can't continue", "move it out of the run's folder"}));
  EXPECT_EQ(read_file(path), foreign);
}

TEST_F(TensorBoardLoggerTest, ACheckpointCannotNameAFileOutsideTheRunsFolder) {
  write(folder.path() / "events.out.tfevents.1", "theirs");
  StateDict state;
  state.values["file"] = "../events.out.tfevents.1";
  state.values["offset"] = int64_t{0};
  TensorBoardLogger logger;
  logger.load_state_dict(state);
  logger.start(run);
  EXPECT_EQ(logger.path().parent_path(), runs_folder());
  EXPECT_EQ(read_file(folder.path() / "events.out.tfevents.1"), "theirs");
}

TEST_F(TensorBoardLoggerTest, ANewFitInTheSameFolderBeginsAnotherFile) {
  const StoppedClock clock;
  TensorBoardLogger first;
  TensorBoardLogger second;
  first.start(run);
  second.start(run);
  EXPECT_NE(first.path(), second.path());
  EXPECT_LT(first.path(), second.path());  // TensorBoard reads them in this order
}

TEST_F(TensorBoardLoggerTest, ADiskThatFillsUpDoesNotEndAFit) {
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 3, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add_logger<TensorBoardLogger>({.flush_interval = 0.0});
  int64_t writes = 0;
  files::inject_faults([&](const auto& each) {
    const bool is_events = each.path.string().find("tfevents") != std::string::npos;
    return is_events && each.name == "write" && ++writes > 2 ? ENOSPC : 0;
  });
  ::testing::internal::CaptureStderr();
  const History history = trainer.fit(model, data);
  files::inject_faults({});
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(history.epochs.size(), 3U);
  EXPECT_TRUE(says(said, {"the run goes on", "lacks the last"}));
}

TEST_F(TensorBoardLoggerTest, AnImageOfAnotherShapeIsAModuleError) {
  TensorBoardLogger logger;
  logger.start(run);
  for (const auto& wrong : {torch::zeros({2, 3, 3}), torch::zeros({3, 3}), torch::zeros({3, 0, 2}),
                            torch::zeros({1, 2, 2}, torch::kLong), torch::Tensor()}) {
    const auto message = message_of<ModuleError>([&] { logger.log_image("x", wrong, 0); });
    EXPECT_TRUE(says(message, {"log_image", "'x'", "[channels, height, width]"}));
  }
}

TEST_F(TensorBoardLoggerTest, TensorBoardsOwnReaderReadsEverything) {
  TensorBoardLogger logger;
  logger.start(run);
  logger.log_hyper_parameters(Value::Object{
      {"model", Value::Object{{"rate", 0.5}, {"sizes", Value::Array{1, 2}}, {"name", "adam"}}},
      {"trainer", Value::Object{{"fast", true}}}});
  logger.log_metrics({{"train/loss", 0.5}, {"odd", std::nan("")}}, 0, 49);
  logger.log_metrics({{"train/loss", 0.25}}, 1, 99);
  logger.log_epoch_metrics({{"val_acc", 0.75}}, 1, 199);
  logger.log_text("note", "it **works**", 3);
  logger.log_image("grey", torch::tensor({{{0.0, 1.0, 2.0}, {0.5, -1.0, std::nan("")}}}), 4);
  logger.log_histogram("weights", torch::arange(0, 31, torch::kFloat), 5);
  logger.finish(false);

  const PythonResult python = run_python("tensorboard_read.py", {runs_folder().string()});
  if (python.status == 77) GTEST_SKIP() << "no Python with tensorboard: set LEVIN_PYTHON to one";
  ASSERT_EQ(python.status, 0) << python.output;
  const auto read = nlohmann::json::parse(python.output);
  const auto& scalars = read.at("scalars");
  EXPECT_EQ(scalars.at("train/loss"), nlohmann::json::parse("[[49, 0.5], [99, 0.25]]"));
  EXPECT_EQ(scalars.at("val_acc"), nlohmann::json::parse("[[199, 0.75]]"));
  EXPECT_EQ(scalars.at("epoch"), nlohmann::json::parse("[[49, 0], [99, 1], [199, 1]]"));
  EXPECT_EQ(scalars.at("odd"), nlohmann::json::parse(R"([[49, "nan"]])"));
  EXPECT_EQ(read.at("texts").at("note/text_summary"), "it **works**");
  EXPECT_EQ(read.at("images").at("grey").at(0), 3);
  EXPECT_EQ(read.at("images").at("grey").at(1), 2);
  const auto& histogram = read.at("histograms").at("weights");
  EXPECT_EQ(histogram.at("num"), 31);
  EXPECT_EQ(histogram.at("sum"), 465);
  EXPECT_EQ(histogram.at("buckets").at(0), 2);
  const auto& run_shown = read.at("hparams").at(0);
  const auto& settings = run_shown.at("hparams");
  EXPECT_EQ(settings.at("model/rate"), 0.5);
  EXPECT_EQ(settings.at("model/sizes"), "[1,2]");
  EXPECT_EQ(settings.at("model/name"), "adam");
  EXPECT_EQ(settings.at("trainer/fast"), true);
  EXPECT_EQ(run_shown.at("sessions").at(0).at("status"), "STATUS_SUCCESS");
  bool has_final_loss = false;
  for (const auto& metric : run_shown.at("metricValues")) {
    has_final_loss = has_final_loss ||
                     (metric.at("name").at("tag") == "train/loss" && metric.at("value") == 0.25);
  }
  EXPECT_TRUE(has_final_loss) << run_shown;
}

}  // namespace levin::test::tensorboard_logger_test
