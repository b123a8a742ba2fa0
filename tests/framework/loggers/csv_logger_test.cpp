#include <levin/framework/core/error.h>
#include <levin/framework/loggers/csv_logger.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "callbacks/fixture.h"
#include "framework/message_of.h"

namespace levin::test::csv_logger_test {

/// A run folder, and what a logger wrote into it.
class CsvLoggerTest : public ::testing::Test {
 protected:
  CsvLoggerTest() { run.set_log_dir(folder.path() / "run"); }
  fs::path path() const { return folder.path() / "run" / "metrics.csv"; }
  std::string text() const { return read_file(path()); }

  TemporaryFolder folder;
  RunControl run;
};

TEST_F(CsvLoggerTest, WritesOneRowACallWithColumnsInOrderOfAppearance) {
  CsvLogger logger;
  logger.start(run);
  logger.log_metrics({{"train_loss", 0.5}}, 0, 49);
  logger.log_metrics({{"val_loss", 0.25}, {"val_acc", 1.0}}, 0, 99);
  logger.log_metrics({{"train_loss", 0.125}, {"accuracy", 0.75}}, 1, 149);
  logger.finish(false);
  EXPECT_EQ(text(),
            "epoch,step,train_loss,val_acc,val_loss,accuracy\n"
            "0,49,0.5,,,\n"
            "0,99,,1,0.25,\n"
            "1,149,0.125,,,0.75\n");
}

TEST_F(CsvLoggerTest, NumbersReadBackAsTheSameBits) {
  const std::vector<double> values{0.1,  1.0 / 3.0, 1e-300, 5e-324, 1.7976931348623157e308,
                                   -0.0, 1e22};
  CsvLogger logger;
  logger.start(run);
  for (const double value : values) logger.log_metrics({{"v", value}}, 0, 0);
  for (const double value : {std::nan(""), -std::nan(""), std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity()}) {
    logger.log_metrics({{"v", value}}, 0, 0);
  }
  logger.finish(false);
  const auto lines = lines_of(text());
  for (size_t i = 0; i < values.size(); ++i) {
    const double back = std::strtod(lines[i + 1].c_str() + 4, nullptr);
    EXPECT_EQ(std::memcmp(&back, &values[i], sizeof(double)), 0) << lines[i + 1];
  }
  EXPECT_EQ(lines[8], "0,0,nan");
  EXPECT_EQ(lines[9], "0,0,nan");
  EXPECT_EQ(lines[10], "0,0,inf");
  EXPECT_EQ(lines[11], "0,0,-inf");
}

TEST_F(CsvLoggerTest, NamesWithCommasAndQuotesStayOneColumn) {
  CsvLogger logger;
  logger.start(run);
  logger.log_metrics({{"a,b", 1.0}, {"say \"x\"", 2.0}}, 0, 0);
  logger.finish(false);
  EXPECT_EQ(lines_of(text())[0], "epoch,step,\"a,b\",\"say \"\"x\"\"\"");
  CsvLogger next;
  next.start(run);
  next.log_metrics({{"a,b", 3.0}}, 1, 1);
  next.finish(false);
  EXPECT_EQ(lines_of(text()).back(), "1,1,3,");
}

TEST_F(CsvLoggerTest, AMetricCalledStepIsTheRowsStep) {
  CsvLogger logger;
  logger.start(run);
  logger.log_metrics({{"step", 7.0}, {"loss", 1.0}}, 0, 49);
  logger.finish(false);
  EXPECT_EQ(text(), "epoch,step,loss\n0,7,1\n");
}

TEST_F(CsvLoggerTest, ANewFitInTheSameFolderAddsItsRows) {
  for (int fit = 0; fit < 2; ++fit) {
    CsvLogger logger;
    logger.start(run);
    logger.log_metrics({{fit == 0 ? "first" : "second", 1.0}}, 0, fit);
    logger.finish(false);
  }
  EXPECT_EQ(text(), "epoch,step,first,second\n0,0,1,\n0,1,,1\n");
}

TEST_F(CsvLoggerTest, WritesTheSettings) {
  CsvLogger logger;
  logger.start(run);
  logger.log_hyper_parameters(Value::Object{{"learning_rate", 0.1}});
  EXPECT_EQ(read_file(folder.path() / "run" / "hparams.yaml"), "learning_rate: 0.1\n");
}

/// The rows of a run; a checkpoint may be taken before any of them.
const std::vector<MetricMap> kRows{
    {{"a", 1.5}}, {{"a", 2.0}}, {{"b", 3.0}}, {{"a", 0.1}}, {{"c", 5.0}, {"b", 6.0}}, {{"a", 7.0}}};

void log_rows(CsvLogger& logger, size_t from, size_t to) {
  for (size_t i = from; i < to; ++i) {
    logger.log_metrics(kRows[i], static_cast<int64_t>(i / 2), static_cast<int64_t>(i));
  }
}

TEST_F(CsvLoggerTest, AResumedRunEndsWithTheSameBytesWhereverItWasCut) {
  CsvLogger whole;
  whole.start(run);
  log_rows(whole, 0, kRows.size());
  whole.finish(false);
  const std::string expected = text();

  for (size_t saved = 0; saved <= kRows.size(); ++saved) {
    for (size_t killed = saved; killed <= kRows.size(); ++killed) {
      fs::remove(path());
      StateDict state;
      {
        CsvLogger before;
        before.start(run);
        log_rows(before, 0, saved);
        before.flush();
        state = before.state_dict();
        log_rows(before, saved, killed);
      }
      CsvLogger after;
      after.load_state_dict(state);
      after.start(run);
      log_rows(after, saved, kRows.size());
      after.finish(false);
      EXPECT_EQ(text(), expected) << "saved after " << saved << " rows, killed after " << killed;
    }
  }
}

TEST_F(CsvLoggerTest, TheStateAfterTheEndIsThatOfTheWholeFile) {
  CsvLogger logger;
  logger.start(run);
  log_rows(logger, 0, 3);
  logger.finish(false);
  const std::string before = text();
  CsvLogger after;
  after.load_state_dict(logger.state_dict());
  after.start(run);
  after.finish(false);
  EXPECT_EQ(text(), before);
}

class CsvLoggerResumeTest : public CsvLoggerTest {
 protected:
  CsvLoggerResumeTest() {
    CsvLogger logger;
    logger.start(run);
    log_rows(logger, 0, 4);
    logger.flush();
    state = logger.state_dict();
    logger.finish(false);
  }
  StateDict state;
};

TEST_F(CsvLoggerResumeTest, AMissingFileBeginsANewOneWithTheSameColumns) {
  fs::remove(path());
  CsvLogger logger;
  logger.load_state_dict(state);
  logger.start(run);
  log_rows(logger, 5, 6);
  logger.finish(false);
  EXPECT_EQ(text(), "epoch,step,a,b\n2,5,7,\n");
}

TEST_F(CsvLoggerResumeTest, AShorterFileKeepsItsWholeRowsWithAWarning) {
  fs::resize_file(path(), fs::file_size(path()) - 3);  // tears the last of the four rows
  CsvLogger logger;
  logger.load_state_dict(state);
  ::testing::internal::CaptureStderr();
  logger.start(run);
  const std::string warning = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("3 of the 4 rows"), std::string::npos) << warning;
  log_rows(logger, 4, 5);
  logger.finish(false);
  EXPECT_EQ(text(), "epoch,step,a,b,c\n0,0,1.5,,\n0,1,2,,\n1,2,,3,\n2,4,,6,5\n");
}

TEST_F(CsvLoggerResumeTest, AForeignFileIsLeftAlone) {
  for (const char* foreign : {"x,y\n1,2\n", "epoch,step,other\n0,0,1\n0,1,1\n0,2,1\n0,3,1\n",
                              "epoch,step,a,b\n0,0,9,\n0,1,2,\n1,2,,3\n1,3,99.875,\n"}) {
    write(path(), foreign);
    CsvLogger logger;
    logger.load_state_dict(state);
    const auto message = message_of<CheckpointError>([&] { logger.start(run); });
    EXPECT_TRUE(says(message, {"can't continue '" + path().string() + "': its columns or rows",
                               "move it out of the run's folder"}));
    EXPECT_EQ(text(), foreign);
  }
  write(path(), "x,y\n1,2\n");
  CsvLogger fresh;
  const auto message = message_of<CheckpointError>([&] { fresh.start(run); });
  EXPECT_TRUE(says(message, {"can't continue '" + path().string() + "': its first columns",
                             "move it out of the run's folder"}));
  EXPECT_EQ(message.find("checkpoint"), std::string::npos) << message;  // it is none
}

/// Makes writing and renaming fail while it exists.
class FullDisk {
 public:
  FullDisk() {
    files::inject_faults([](const auto& each) {
      return each.name == "write" || each.name == "rename" ? ENOSPC : 0;
    });
  }
  ~FullDisk() { files::inject_faults({}); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
};

TEST_F(CsvLoggerTest, AFullDiskIsSaidOnceAndNoRowIsLost) {
  CsvLogger whole;
  whole.start(run);
  log_rows(whole, 0, kRows.size());
  whole.finish(false);
  const std::string expected = text();
  fs::remove(path());

  CsvLogger logger({.flush_interval = 0.0});
  logger.start(run);
  log_rows(logger, 0, 2);
  ::testing::internal::CaptureStderr();
  {
    const FullDisk full;
    logger.log_hyper_parameters(Value::Object{{"seed", 1}});
    log_rows(logger, 2, 5);  // with new columns
    logger.log_epoch_metrics({{"a", 1.0}}, 9, 9);
    logger.flush();
  }
  std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("the run goes on"), std::string::npos) << said;
  EXPECT_EQ(said.find("metrics.csv"), said.rfind("metrics.csv")) << said;
  EXPECT_EQ(said.find("hparams.yaml"), said.rfind("hparams.yaml")) << said;

  ::testing::internal::CaptureStderr();
  log_rows(logger, 5, 6);
  logger.finish(false);
  said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("has all its rows after all"), std::string::npos) << said;
  EXPECT_EQ(lines_of(text()).size(), lines_of(expected).size() + 1);  // with that of epoch 9
  EXPECT_EQ(lines_of(text()).front(), lines_of(expected).front());
  EXPECT_EQ(lines_of(text()).back(), lines_of(expected).back());
  EXPECT_EQ(read_file(folder.path() / "run" / "hparams.yaml"), "seed: 1\n");
}

TEST_F(CsvLoggerTest, RowsThatAreLostInTheEndAreCounted) {
  CsvLogger logger;
  logger.start(run);
  logger.log_epoch_metrics({{"a", 1.0}}, 0, 0);
  ::testing::internal::CaptureStderr();
  {
    const FullDisk full;
    logger.log_epoch_metrics({{"a", 2.0}}, 1, 1);
    logger.log_epoch_metrics({{"a", 3.0}}, 2, 2);
    logger.finish(false);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("lacks the last 2 rows"), std::string::npos) << said;
  EXPECT_EQ(text(), "epoch,step,a\n0,0,1\n");
}

TEST_F(CsvLoggerTest, AFolderRemovedDuringTheRunIsMadeAgainWithAllRows) {
  CsvLogger logger;
  logger.start(run);
  logger.log_hyper_parameters(Value::Object{{"seed", 1}});
  logger.log_epoch_metrics({{"a", 1.0}}, 0, 0);
  fs::remove_all(path().parent_path());
  ::testing::internal::CaptureStderr();
  logger.log_epoch_metrics({{"a", 2.0}}, 1, 1);
  logger.log_epoch_metrics({{"a", 3.0}, {"b", 4.0}}, 2, 2);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(said, {"hparams.yaml was removed", "metrics.csv was removed", "made again"}));
  fs::remove_all(path().parent_path());
  logger.finish(false);
  EXPECT_EQ(text(), "epoch,step,a,b\n0,0,1,\n1,1,2,\n2,2,3,4\n");
  EXPECT_EQ(read_file(folder.path() / "run" / "hparams.yaml"), "seed: 1\n");
}

TEST_F(CsvLoggerTest, ADiskThatFillsUpDoesNotEndAFit) {
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 3, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add_logger<CsvLogger>({.flush_interval = 0.0});
  int64_t writes = 0;
  files::inject_faults([&](const auto& each) {
    const bool is_table = each.path.filename() == "metrics.csv" && each.name == "write";
    return is_table && ++writes > 2 ? ENOSPC : 0;
  });
  ::testing::internal::CaptureStderr();
  const History history = trainer.fit(model, data);
  files::inject_faults({});
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(history.epochs.size(), 3U);
  EXPECT_TRUE(says(said, {"the run goes on", "lacks the last"}));
}

TEST_F(CsvLoggerTest, AnUnwritableFolderIsACheckpointError) {
  write(folder.path() / "file", "");
  run.set_log_dir(folder.path() / "file" / "run");
  CsvLogger logger;
  EXPECT_THROW(logger.start(run), CheckpointError);
}

TEST_F(CsvLoggerTest, AFitStoppedAndResumedWritesTheSameFile) {
  const auto train = [](const fs::path& root, int64_t max_epochs, const std::string& from) {
    PointsModule data(40, {.batch_size = 8, .shuffle = true, .seed = 7});
    torch::manual_seed(5);
    Classifier model;
    Trainer trainer(
        {.max_epochs = max_epochs, .log_every_n_steps = 2, .default_root_dir = root.string()});
    trainer.add_logger<CsvLogger>();
    trainer.fit(model, data, from);
    trainer.save_checkpoint(root / "levin_logs" / "version_0" / "checkpoints" / "end.ckpt");
    return read_file(root / "levin_logs" / "version_0" / "metrics.csv");
  };
  const std::string through = train(folder.path() / "through", 4, "");
  const auto root = folder.path() / "stopped";
  train(root, 2, "");
  const auto end = root / "levin_logs" / "version_0" / "checkpoints" / "end.ckpt";
  EXPECT_EQ(train(root, 4, end.string()), through);
  EXPECT_GT(lines_of(through).size(), 12U);
}

TEST_F(CsvLoggerTest, ARowCostsTheSameHoweverLongTheFileIs) {
  CsvLogger logger({.flush_interval = 0.0});
  logger.start(run);
  int64_t operations = 0;
  files::inject_faults([&](const auto&) { return ++operations, 0; });
  const auto cost_of_ten_rows = [&] {
    operations = 0;
    for (int64_t i = 0; i < 10; ++i) logger.log_metrics({{"a", 1.0}, {"b", 2.0}}, 0, i);
    return operations;
  };
  logger.log_metrics({{"a", 1.0}, {"b", 2.0}}, 0, 0);
  EXPECT_EQ(cost_of_ten_rows(), 10);  // a write for each row
  for (int64_t i = 0; i < 1000; ++i) logger.log_metrics({{"a", 1.0}, {"b", 2.0}}, 0, i);
  EXPECT_EQ(cost_of_ten_rows(), 10);
  operations = 0;
  logger.log_metrics({{"late", 3.0}}, 0, 0);  // makes the file anew, once
  EXPECT_GT(operations, 1);
  EXPECT_EQ(cost_of_ten_rows(), 10);
  files::inject_faults({});
  logger.finish(false);
  EXPECT_EQ(lines_of(text()).back(), "0,9,1,2,");
}

}  // namespace levin::test::csv_logger_test
