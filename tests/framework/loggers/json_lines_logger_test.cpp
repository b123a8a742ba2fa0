#include <levin/framework/core/error.h>
#include <levin/framework/loggers/json_lines_logger.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "callbacks/fixture.h"
#include "framework/message_of.h"

namespace levin::test::json_lines_logger_test {

class JsonLinesLoggerTest : public ::testing::Test {
 protected:
  JsonLinesLoggerTest() { run.set_log_dir(folder.path() / "run"); }
  fs::path path() const { return folder.path() / "run" / "metrics.jsonl"; }
  std::string text() const { return read_file(path()); }

  TemporaryFolder folder;
  RunControl run;
};

TEST_F(JsonLinesLoggerTest, WritesSettingsMetricsAndTextsAsOneObjectALine) {
  JsonLinesLogger logger;
  logger.start(run);
  logger.log_hyper_parameters(Value::Object{{"seed", 1}});
  logger.log_metrics({{"train_loss", 0.5}}, 0, 49);
  logger.log_epoch_metrics({{"val_acc", 1.0}, {"val_loss", 0.25}}, 0, 49);
  logger.log_text("a \"tag\"", "two\nlines \\", 50);
  logger.finish(false);
  EXPECT_EQ(text(),
            "{\"settings\":{\"seed\":1}}\n"
            "{\"epoch\":0,\"step\":49,\"train_loss\":0.5}\n"
            "{\"epoch\":0,\"step\":49,\"val_acc\":1,\"val_loss\":0.25}\n"
            "{\"step\":50,\"tag\":\"a \\\"tag\\\"\",\"text\":\"two\\u000alines \\\\\"}\n");
}

TEST_F(JsonLinesLoggerTest, EveryLineIsJsonWhoseNumbersReadBackAsTheSameBits) {
  const std::vector<double> values{0.1, 1.0 / 3.0, 1e-300, 5e-324, 1.7976931348623157e308, -0.0};
  JsonLinesLogger logger;
  logger.start(run);
  for (const double value : values) logger.log_metrics({{"v", value}}, 0, 0);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double value : {std::nan(""), infinity, -infinity}) {
    logger.log_metrics({{"v", value}}, 0, 0);
  }
  logger.log_metrics({{"step", 7.0}, {"epoch", 3.0}}, 0, 0);
  logger.finish(false);
  const auto lines = lines_of(text());
  ASSERT_EQ(lines.size(), values.size() + 4);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto back = nlohmann::json::parse(lines[i]).at("v").get<double>();
    EXPECT_EQ(back, values[i]) << lines[i];
    EXPECT_EQ(std::signbit(back), std::signbit(values[i])) << lines[i];
  }
  EXPECT_EQ(lines[6], "{\"epoch\":0,\"step\":0,\"v\":\"NaN\"}");
  EXPECT_EQ(lines[7], "{\"epoch\":0,\"step\":0,\"v\":\"Infinity\"}");
  EXPECT_EQ(lines[8], "{\"epoch\":0,\"step\":0,\"v\":\"-Infinity\"}");
  EXPECT_EQ(lines[9], "{\"epoch\":3,\"step\":7}");  // a metric of that name is the row's number
}

void log_line(JsonLinesLogger& logger, int64_t i) {
  logger.log_metrics({{i % 2 == 0 ? "a" : "b", 0.1 * static_cast<double>(i)}}, i / 2, i);
}

TEST_F(JsonLinesLoggerTest, AResumedRunEndsWithTheSameBytesWhereverItWasCut) {
  const auto log_lines = [&](JsonLinesLogger& logger, int64_t from, int64_t to) {
    logger.start(run);
    logger.log_hyper_parameters(Value::Object{{"seed", 1}});
    for (int64_t i = from; i < to; ++i) log_line(logger, i);
  };
  JsonLinesLogger whole;
  log_lines(whole, 0, 5);
  whole.finish(false);
  const std::string expected = text();
  for (int64_t saved = 0; saved <= 5; ++saved) {
    for (int64_t killed = saved; killed <= 5; ++killed) {
      fs::remove(path());
      StateDict state;
      {
        JsonLinesLogger before;
        log_lines(before, 0, saved);
        before.flush();
        state = before.state_dict();
        for (int64_t i = saved; i < killed; ++i) log_line(before, i);
      }
      JsonLinesLogger after;
      after.load_state_dict(state);
      log_lines(after, saved, 5);
      after.finish(false);
      EXPECT_EQ(text(), expected) << "saved after " << saved << " rows, killed after " << killed;
    }
  }
}

TEST_F(JsonLinesLoggerTest, ATornFileKeepsItsWholeLinesAndAForeignOneIsLeftAlone) {
  StateDict state;
  {
    JsonLinesLogger logger;
    logger.start(run);
    for (int64_t i = 0; i < 3; ++i) log_line(logger, i);
    logger.finish(false);
    state = logger.state_dict();
  }
  const std::string whole = text();
  fs::resize_file(path(), fs::file_size(path()) - 3);
  {
    JsonLinesLogger logger;
    logger.load_state_dict(state);
    ::testing::internal::CaptureStderr();
    logger.start(run);
    EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(), {"the missing rows are lost"}));
    log_line(logger, 2);
    logger.finish(false);
    EXPECT_EQ(text(), whole);
  }
  const std::string foreign(whole.size() + 10, 'x');
  write(path(), foreign);
  JsonLinesLogger logger;
  logger.load_state_dict(state);
  const auto message = message_of<CheckpointError>([&] { logger.start(run); });
  EXPECT_TRUE(says(message, {"can't continue", "move it out of the run's folder"}));
  EXPECT_EQ(text(), foreign);
}

TEST_F(JsonLinesLoggerTest, WhatItCannotKeepIsSaidOnceForEachKind) {
  JsonLinesLogger logger;
  logger.start(run);
  ::testing::internal::CaptureStderr();
  logger.log_image("first", torch::zeros({1, 2, 2}), 0);
  logger.log_image("second", torch::zeros({1, 2, 2}), 0);
  logger.log_histogram("third", torch::zeros({2}), 0);
  logger.log_artifact("fourth");
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(said, {"JsonLinesLogger keeps no images, so 'first'",
                          "no histograms, so 'third'", "no files, so 'fourth'"}));
  EXPECT_EQ(said.find("second"), std::string::npos) << said;
}

}  // namespace levin::test::json_lines_logger_test
