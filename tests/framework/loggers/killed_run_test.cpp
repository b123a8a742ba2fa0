// The files of a run that was killed and resumed.
#include <levin/callbacks/lambda_callback.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/core/files.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/loggers/json_lines_logger.h>
#include <levin/framework/loggers/tensorboard_logger.h>
#include <levin/framework/tensor/random.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "callbacks/fixture.h"

namespace levin::test::killed_run_test {

/// Ten steps an epoch, two epochs; a checkpoint after every fourth step. Kills this process after
/// step `kill_at`; with `flushes`, the loggers' files have all rows by then.
void train(const fs::path& root, const std::string& from, int64_t kill_at, bool flushes) {
  seed_everything(3);
  PointsModule data(40, {.batch_size = 4, .shuffle = true, .seed = 7});
  Classifier model(0.2);
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 2,
                   .log_every_n_steps = 1,
                   .threads = 1,
                   .default_root_dir = root.string()});
  trainer.add_logger<CsvLogger>();
  trainer.add_logger<JsonLinesLogger>();
  trainer.add_logger<TensorBoardLogger>();
  trainer.add<ModelCheckpoint>({.every_n_train_steps = 4});
  trainer.add<LambdaCallback>({.on_train_batch_start = [&](const Batch&, Step& step) {
    if (step.global_step() != kill_at) return;
    for (Logger* logger : step.run().loggers()) {
      if (flushes) logger->flush();
    }
    ::kill(::getpid(), SIGKILL);
  }});
  trainer.fit(model, data, from);
}

/// The files in the run's folder, apart from checkpoints. That of TensorBoard has a name of its own
/// in each process.
std::map<std::string, std::string> files_of(const fs::path& root) {
  std::map<std::string, std::string> files;
  const auto folder = root / "levin_logs" / "version_0";
  for (const auto& name : files_in(folder)) {
    if (fs::is_directory(folder / name)) continue;
    const bool is_events = name.find("tfevents") != std::string::npos;
    auto& text = files[is_events ? "events" : name];
    EXPECT_EQ(text, "") << "there are several files of events";
    text = read_file(folder / name);
  }
  return files;
}

TEST(KilledRun, resumed_from_its_last_checkpoint_leaves_the_files_of_an_undisturbed_one) {
  files::inject_clock([] { return 1234567890.5; });  // events have the time
  const TemporaryFolder folder;  // the same one for all, because settings name it
  train(folder.path(), "", -1, false);
  const auto whole = files_of(folder.path());
  for (const char* name : {"metrics.csv", "metrics.jsonl", "events"}) {
    ASSERT_TRUE(whole.contains(name)) << name;
    EXPECT_GT(whole.at(name).size(), 500u) << name;
  }
  for (const auto& [kill_at, last] :
       {std::pair(6, "epoch=0-step=4.ckpt"), std::pair(15, "epoch=1-step=12.ckpt")}) {
    for (const bool flushes : {false, true}) {
      SCOPED_TRACE(::testing::Message() << kill_at << (flushes ? ", flushed" : ""));
      fs::remove_all(folder / "levin_logs");
      const pid_t child = ::fork();
      if (child == 0) {
        train(folder.path(), "", kill_at, flushes);
        ::_exit(1);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status));
      const auto checkpoint = folder / "levin_logs/version_0/checkpoints" / last;
      ASSERT_TRUE(fs::exists(checkpoint));
      train(folder.path(), checkpoint.string(), -1, false);
      const auto files = files_of(folder.path());
      EXPECT_EQ(files.size(), whole.size());
      for (const auto& [name, text] : whole) EXPECT_TRUE(files.at(name) == text) << name;
    }
  }
  files::inject_clock({});
}

}  // namespace levin::test::killed_run_test
