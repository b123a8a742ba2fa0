#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include <cstdlib>
#include <limits>
#include <map>

#include "callbacks/checkpoint_fixture.h"
#include "framework/meeting.h"
#include "framework/message_of.h"

namespace levin::test::model_checkpoint_test {

/// An epoch of one step with a validation that gives `val_loss`.
void epoch(FakeLoop& loop, ModelCheckpoint& callback, double val_loss) {
  loop.step(callback);
  loop.validate(callback, {{"val_loss", val_loss}});
  loop.boundary();
  loop.end_epoch(callback);
}

TEST(CheckpointName, WritesNamesAndNumbersAsLightningDoes) {
  const MetricMap metrics{{"val_loss", 0.12345}, {"val/acc", 0.5}};
  EXPECT_EQ(CheckpointName("{epoch}-{step}", true).format(3, 120, metrics), "epoch=3-step=120");
  EXPECT_EQ(CheckpointName("m-{epoch:02d}-{val_loss:.2f}", true).format(3, 120, metrics),
            "m-epoch=03-val_loss=0.12");
  EXPECT_EQ(CheckpointName("m-{epoch:02d}-{val/acc:.1f}", false).format(3, 0, metrics), "m-03-0.5");
  EXPECT_EQ(CheckpointName("{val/acc}", true).format(0, 0, metrics), "val_acc=0.5");
  EXPECT_EQ(CheckpointName("{step:.1f}", false).format(0, 12, metrics), "12.0");
  EXPECT_EQ(CheckpointName("{other:.2f}", true).format(0, 0, metrics), "other=nan");
  EXPECT_EQ(CheckpointName("plain", true).format(0, 0, metrics), "plain");
}

TEST(CheckpointName, RefusesWhatIsNoFileName) {
  for (const char* pattern : {"{epoch", "epoch}", "{}", "{epoch:zz}", "{val_loss:d}", "/tmp/best",
                              "../best", "a/../../best", "folder/"}) {
    EXPECT_THROW(CheckpointName(pattern, true), ConfigError) << pattern;
  }
}

TEST(ModelCheckpoint, ABestCheckpointThatIsNoLongerThereIsSaidAtTheEnd) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 1, .default_root_dir = folder.string()});
  trainer.add<ModelCheckpoint>();
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  EXPECT_EQ(::testing::internal::GetCapturedStderr().find("no longer"), std::string::npos);
  const auto best = trainer.best_checkpoint();
  ASSERT_TRUE(fs::exists(best));
  fs::remove(best);
  ::testing::internal::CaptureStderr();
  dynamic_cast<ModelCheckpoint&>(*trainer.callbacks().front()).on_fit_end(trainer.run());
  EXPECT_TRUE(
      says(::testing::internal::GetCapturedStderr(), {best.string(), "is no longer there"}));
}

TEST(ModelCheckpoint, AMetricOfTheFileNameThatNobodyLogsIsSaidOnce) {
  FakeLoop loop;
  ModelCheckpoint callback({.filename = "{epoch}-{val_los:.2f}-{val_loss:.2f}"});
  callback.on_fit_start(loop.run);
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) epoch(loop, callback, 0.5);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "warning: the name of the checkpoint 'epoch=0-val_los=nan-val_loss=0.50' has 'nan' for "
            "'val_los', because that metric hadn't been logged yet; did you mean 'val_loss'?\n");
}

TEST(ModelCheckpoint, ATildeInDirpathIsTheHomeFolder) {
  TemporaryFolder folder;
  const char* before = std::getenv("HOME");
  const std::string home = before == nullptr ? "" : before;
  ::setenv("HOME", folder.string().c_str(), 1);
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 1, .default_root_dir = "~/runs"});
  auto& checkpoints = trainer.add<ModelCheckpoint>({.dirpath = "$HOME/best"});
  trainer.fit(model, data);
  trainer.save_checkpoint("~/end.ckpt");
  trainer.test(model, data, "~/end.ckpt");
  EXPECT_THROW(ModelCheckpoint({.dirpath = "$SCRATCH/best"}), ConfigError);
  if (before == nullptr) {
    ::unsetenv("HOME");
  } else {
    ::setenv("HOME", home.c_str(), 1);
  }
  EXPECT_EQ(checkpoints.folder(), folder.path() / "best");
  EXPECT_EQ(trainer.options().default_root_dir, folder.string() + "/runs");
  EXPECT_TRUE(fs::exists(folder.path() / "end.ckpt"));
}

TEST(CheckpointName, NumbersNeverLeadOutOfTheFolder) {
  // As long as the metric isn't known, its NaN fills the width.
  const CheckpointName name("..{loss:/>3.0f}{epoch:/>3d}", false);
  EXPECT_EQ(name.format(7, 0, {{"loss", 5.0}}), "..__5__7");
}

TEST(CheckpointName, RefusesNamesTooLongForAFileSystem) {
  for (const std::string& pattern :
       {std::string(201, 'x'), "folder/" + std::string(201, 'x'), "{epoch:100d}" + std::string(),
        std::string("{epoch:999999999999999999999d}"), std::string("{val_loss:.500f}")}) {
    const auto message = message_of<ConfigError>([&] { CheckpointName(pattern, false); });
    EXPECT_TRUE(says(message, {"ModelCheckpoint.filename = " + pattern}));
  }
  const CheckpointName name(std::string(190, 'x') + "{loss:.2f}", false);
  EXPECT_EQ(name.format(0, 0, {{"loss", 1e300}}), std::string(190, 'x') + "1e+300");
  EXPECT_EQ(name.format(0, 0, {{"loss", 0.126}}), std::string(190, 'x') + "0.13");
}

TEST(CheckpointName, DoesntMakeAFolderNamedLikeWhatAShellReplaces) {
  for (const std::string pattern : {"~/best", "$HOME/{epoch}", "$SCRATCH/best", "~ann/best"}) {
    const auto message = message_of<ConfigError>([&] { CheckpointName(pattern, false); });
    EXPECT_TRUE(says(message, {"ModelCheckpoint.filename = " + pattern}));
  }
  EXPECT_EQ(CheckpointName("~best-{epoch}", false).format(3, 0, {}), "~best-3");
  EXPECT_EQ(CheckpointName("./~/best", false).format(3, 0, {}), "./~/best");
}

TEST(ModelCheckpoint, RefusesOptionsThatExcludeEachOther) {
  using Options = ModelCheckpointOptions;
  for (const Options& options : {Options{.every_n_train_steps = 5, .every_n_epochs = 1},
                                 Options{.every_n_train_steps = 5, .train_time_interval = 1.0},
                                 Options{.train_time_interval = 1.0, .every_n_epochs = 1},
                                 Options{.save_top_k = 2}, Options{.save_top_k = -2},
                                 Options{.every_n_epochs = -1}, Options{.every_n_train_steps = -1},
                                 Options{.train_time_interval = 0.0}, Options{.mode = "best"}}) {
    EXPECT_THROW(ModelCheckpoint{options}, ConfigError);
  }
  EXPECT_NO_THROW(ModelCheckpoint({.every_n_train_steps = 5, .every_n_epochs = 0}));
}

TEST(ModelCheckpoint, AnUnwritableFolderIsACheckpointErrorBeforeTraining) {
  FakeLoop loop;
  write(loop.folder.path() / "file", "");
  ModelCheckpoint callback({.dirpath = (loop.folder.path() / "file" / "checkpoints").string()});
  EXPECT_THROW(callback.on_fit_start(loop.run), CheckpointError);
}

TEST(ModelCheckpoint, KeepsTheLatestByDefault) {
  FakeLoop loop;
  ModelCheckpoint callback;
  start(loop, callback);
  epoch(loop, callback, 1.0);
  EXPECT_EQ(names_of(loop), Names{"epoch=0-step=1.ckpt"});
  epoch(loop, callback, 2.0);
  EXPECT_EQ(names_of(loop), Names{"epoch=1-step=2.ckpt"});
  EXPECT_EQ(callback.best_model_path(), folder_of(loop) / "epoch=1-step=2.ckpt");
  EXPECT_EQ(loop.run.best_checkpoint(), callback.best_model_path());
  EXPECT_EQ(loop.run.last_checkpoint(), callback.best_model_path());
}

TEST(ModelCheckpoint, KeepsExactlyTheKBestFiles) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_loss", .save_top_k = 2});
  start(loop, callback);
  for (const double loss : {5.0, 3.0, 4.0, 6.0, 3.5, 1.0}) epoch(loop, callback, loss);
  EXPECT_EQ(names_of(loop), (Names{"epoch=1-step=2.ckpt", "epoch=5-step=6.ckpt"}));
  EXPECT_EQ(callback.best_model_path().filename(), "epoch=5-step=6.ckpt");
  EXPECT_EQ(callback.best_model_score(), 1.0);
  EXPECT_EQ(loop.run.best_checkpoint(), callback.best_model_path());
}

TEST(ModelCheckpoint, MaxModeKeepsTheLargest) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_loss", .mode = "max"});
  start(loop, callback);
  for (const double value : {0.1, 0.9, 0.5}) epoch(loop, callback, value);
  EXPECT_EQ(names_of(loop), Names{"epoch=1-step=2.ckpt"});
}

TEST(ModelCheckpoint, NanRanksAsTheWorst) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const char* mode : {"min", "max"}) {
    FakeLoop loop;
    ModelCheckpoint callback({.monitor = "val_loss", .save_top_k = 2, .mode = mode});
    start(loop, callback);
    for (const double value : {kNan, 1.0, kNan, 2.0, kNan}) epoch(loop, callback, value);
    EXPECT_EQ(names_of(loop), (Names{"epoch=1-step=2.ckpt", "epoch=3-step=4.ckpt"})) << mode;
  }
}

TEST(ModelCheckpoint, SaveTopKZeroKeepsNoneAndMinusOneAll) {
  FakeLoop none;
  ModelCheckpoint no_files({.save_top_k = 0});
  start(none, no_files);
  FakeLoop all;
  ModelCheckpoint every_file({.monitor = "val_loss", .save_top_k = -1});
  start(all, every_file);
  for (const double value : {1.0, 3.0, 2.0}) {
    epoch(none, no_files, value);
    epoch(all, every_file, value);
  }
  EXPECT_EQ(names_of(none), Names{});
  EXPECT_EQ(names_of(all).size(), 3U);
  EXPECT_EQ(every_file.best_model_path().filename(), "epoch=0-step=1.ckpt");
}

TEST(ModelCheckpoint, AnOlderFileGoesOnlyOnceTheNewOneIsOnDisk) {
  FakeLoop loop;
  ModelCheckpoint callback;
  start(loop, callback);
  epoch(loop, callback, 1.0);
  loop.step(callback);
  callback.on_train_epoch_end(loop.run);
  EXPECT_EQ(names_of(loop), Names{"epoch=0-step=1.ckpt"}) << "still there: nothing was written yet";
  const auto& request = loop.run.requests().saves.at(0);
  EXPECT_EQ(request.options.replaces,
            std::vector<fs::path>{folder_of(loop) / "epoch=0-step=1.ckpt"});
}

TEST(ModelCheckpoint, NeverTouchesFilesItDidNotWrite) {
  FakeLoop loop;
  for (const char* name : {"epoch=0-step=1.ckpt", "last.ckpt", "last-v1.ckpt", "other.txt"}) {
    write(folder_of(loop) / name, "foreign");
  }
  ModelCheckpoint callback({.save_last = true});
  start(loop, callback);
  epoch(loop, callback, 1.0);
  EXPECT_TRUE(names_of(loop).contains("epoch=0-step=1-v1.ckpt"));
  epoch(loop, callback, 2.0);
  EXPECT_EQ(names_of(loop), (Names{"epoch=0-step=1.ckpt", "epoch=1-step=2.ckpt", "last.ckpt",
                                   "last-v1.ckpt", "last-v2.ckpt", "other.txt"}));
  for (const char* name : {"epoch=0-step=1.ckpt", "last.ckpt", "last-v1.ckpt"}) {
    EXPECT_EQ(read_file(folder_of(loop) / name), "foreign") << name;
  }
  EXPECT_EQ(read_file(folder_of(loop) / "last-v2.ckpt"), "step 2");
}

TEST(ModelCheckpoint, TwoCallbacksDoNotWriteTheSameFile) {
  FakeLoop loop;
  ModelCheckpoint first;
  ModelCheckpoint second;
  start(loop, first);
  start(loop, second);
  loop.step(first);
  first.on_train_epoch_end(loop.run);
  second.on_train_epoch_end(loop.run);
  loop.boundary();
  EXPECT_EQ(names_of(loop), (Names{"epoch=0-step=1.ckpt", "epoch=0-step=1-v1.ckpt"}));
}

TEST(ModelCheckpoint, AFixedFileNameIsOverwrittenByTheBetterOne) {
  FakeLoop loop;
  ModelCheckpoint callback({.filename = "best", .monitor = "val_loss"});
  start(loop, callback);
  for (const double loss : {2.0, 1.0, 3.0}) epoch(loop, callback, loss);
  EXPECT_EQ(names_of(loop), Names{"best.ckpt"});
  EXPECT_EQ(read_file(folder_of(loop) / "best.ckpt"), "step 2");
}

TEST(ModelCheckpoint, LastIsOfTheLatestTimeAnythingWasDue) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_loss", .save_last = true});
  start(loop, callback);
  for (const double loss : {1.0, 2.0, 3.0}) epoch(loop, callback, loss);
  EXPECT_EQ(names_of(loop), (Names{"epoch=0-step=1.ckpt", "last.ckpt"}));
  EXPECT_EQ(read_file(folder_of(loop) / "last.ckpt"), "step 3");
  EXPECT_EQ(loop.run.last_checkpoint(), folder_of(loop) / "last.ckpt");
  EXPECT_EQ(loop.run.best_checkpoint(), folder_of(loop) / "epoch=0-step=1.ckpt");
}

TEST(ModelCheckpoint, SavesEveryNSteps) {
  FakeLoop loop;
  ModelCheckpoint callback({.save_top_k = -1, .every_n_train_steps = 2});
  start(loop, callback);
  for (int i = 0; i < 5; ++i) {
    loop.step(callback);
    loop.boundary();
  }
  loop.end_epoch(callback);
  EXPECT_EQ(names_of(loop), (Names{"epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt"}));
}

// A module that optimizes by hand may step several optimizers for each batch.
TEST(ModelCheckpoint, SavesAtTheFirstBoundaryAfterAMultipleThatABatchWentPast) {
  FakeLoop loop;
  ModelCheckpoint callback({.save_top_k = -1, .every_n_train_steps = 4});
  start(loop, callback);
  for (int i = 0; i < 4; ++i) {  // steps 3, 6, 9, 12
    loop.run.progress().global_step += 2;
    loop.step(callback);
    loop.boundary();
  }
  EXPECT_EQ(names_of(loop),
            (Names{"epoch=0-step=12.ckpt", "epoch=0-step=6.ckpt", "epoch=0-step=9.ckpt"}));
}

TEST(ModelCheckpoint, SavesEveryNEpochs) {
  FakeLoop loop;
  ModelCheckpoint callback({.save_top_k = -1, .every_n_epochs = 2});
  start(loop, callback);
  for (int i = 0; i < 5; ++i) epoch(loop, callback, 1.0);
  EXPECT_EQ(names_of(loop), (Names{"epoch=1-step=2.ckpt", "epoch=3-step=4.ckpt"}));
}

TEST(ModelCheckpoint, SavesWhenTheMinutesAreOver) {
  FakeLoop loop;
  ModelCheckpoint soon({.save_top_k = -1, .train_time_interval = 1e-9});
  ModelCheckpoint late({.filename = "late", .save_top_k = -1, .train_time_interval = 60.0});
  start(loop, soon);
  start(loop, late);
  loop.step(soon);
  loop.step(late);
  loop.boundary();
  EXPECT_EQ(names_of(loop), Names{"epoch=0-step=1.ckpt"});
}

TEST(ModelCheckpoint, AStepIsSavedOnceHoweverManyOfItsBatchesFollow) {
  FakeLoop loop;
  ModelCheckpoint callback({.save_top_k = -1, .every_n_train_steps = 1});
  start(loop, callback);
  loop.step(callback);
  loop.boundary();
  --loop.run.progress().global_step;  // the next batch accumulates: no step
  loop.step(callback);
  EXPECT_FALSE(loop.boundary());
  EXPECT_EQ(loop.saves.size(), 1U);
}

TEST(ModelCheckpoint, AValidationMetricIsSavedWithTheWeightsItWasMeasuredOn) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_loss", .save_last = true, .every_n_train_steps = 2});
  start(loop, callback);
  loop.validate(callback, {{"val_loss", 9.0}});
  for (int i = 0; i < 3; ++i) {
    loop.step(callback);
    loop.boundary();
  }
  EXPECT_EQ(names_of(loop), Names{"last.ckpt"}) << "the top k wait, last.ckpt doesn't";
  loop.validate(callback, {{"val_loss", 1.0}});
  loop.boundary();
  EXPECT_EQ(names_of(loop), (Names{"epoch=0-step=3.ckpt", "last.ckpt"}));
  EXPECT_EQ(callback.best_model_score(), 1.0);
}

TEST(ModelCheckpoint, AMonitorNobodyLoggedIsAModuleError) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_los"});
  start(loop, callback);
  loop.validate(callback, {{"val_loss", 1.0}});
  EXPECT_THROW(loop.end_epoch(callback), ModuleError);
}

TEST(ModelCheckpoint, GoesOnWithTheKBestAfterAResume) {
  FakeLoop loop;
  ModelCheckpointOptions options{.monitor = "val_loss", .save_last = true, .save_top_k = 2};
  StateDict state;
  {
    ModelCheckpoint before(options);
    start(loop, before);
    for (const double loss : {3.0, 2.0, 4.0}) epoch(loop, before, loss);
    state = before.state_dict();
  }
  ModelCheckpoint after(options);
  after.load_state_dict(state);
  start(loop, after);
  EXPECT_EQ(after.best_model_score(), 2.0);
  EXPECT_EQ(loop.run.best_checkpoint().filename(), "epoch=1-step=2.ckpt");
  for (const double loss : {5.0, 1.0}) epoch(loop, after, loss);
  EXPECT_EQ(names_of(loop), (Names{"epoch=1-step=2.ckpt", "epoch=4-step=5.ckpt", "last.ckpt"}));
}

TEST(ModelCheckpoint, AResumeElsewhereLeavesTheOldRunsFilesAlone) {
  FakeLoop old_run;
  ModelCheckpoint before({.monitor = "val_loss"});
  start(old_run, before);
  epoch(old_run, before, 3.0);

  FakeLoop new_run;
  ModelCheckpoint after({.monitor = "val_loss"});
  after.load_state_dict(before.state_dict());
  start(new_run, after);
  epoch(new_run, after, 4.0);
  EXPECT_EQ(names_of(new_run), Names{}) << "the old file is still the best";
  epoch(new_run, after, 2.0);
  EXPECT_EQ(names_of(new_run), Names{"epoch=1-step=2.ckpt"});
  EXPECT_EQ(names_of(old_run), Names{"epoch=0-step=1.ckpt"});
}

TEST(ModelCheckpoint, FindsItsFilesInARunFolderThatWasMoved) {
  FakeLoop old_run;
  ModelCheckpoint before({.monitor = "val_loss"});
  start(old_run, before);
  epoch(old_run, before, 3.0);

  FakeLoop moved;
  fs::rename(old_run.folder.path() / "run", moved.folder.path() / "run");
  ModelCheckpoint after({.monitor = "val_loss"});
  after.load_state_dict(before.state_dict());
  start(moved, after);
  EXPECT_EQ(after.best_model_path(), folder_of(moved) / "epoch=0-step=1.ckpt");
  epoch(moved, after, 2.0);
  epoch(moved, after, 1.0);
  EXPECT_EQ(names_of(moved), Names{"epoch=1-step=2.ckpt"});
}

/// A checkpoint can be crafted, and whoever resumes it must not lose a file by it.
TEST(ModelCheckpoint, AStateNeverMakesItRemoveAFileOutsideItsFolder) {
  const std::pair<const char*, const char*> crafted[] = {
      // The text of `dirpath` in the state, and of the path of its only checkpoint. R is the folder
      // of the test, in which the run is R/run.
      {"/nowhere", "/nowhere/./../../../../../../../../../../..R/victim.ckpt"},
      {"/nowhere", "/nowhere/./../../victim.ckpt"},
      {"/nowhere", "/nowhere/../../../victim.ckpt"},
      {"R/run/checkpoints", "R/run/checkpoints/./../../victim.ckpt"},
      {"R/run/checkpoints", "R/run/checkpoints/link.ckpt"},
      {"R/run/checkpoints", "R/run/checkpoints/linked/victim.ckpt"},
      {"R/run/checkpoints", "R/run/checkpoints/notes.txt"},
      {"R/run/checkpoints", "R/run/config.ckpt"},
      {"R/run", "R/run/../../victim.ckpt"},
      {"R", "R/victim.ckpt"},
      {"", "R/victim.ckpt"},
      {"", "../victim.ckpt"}};
  for (const auto& [dirpath, path] : crafted) {
    FakeLoop loop;
    const fs::path root = loop.folder.path();
    const std::vector<fs::path> victims = {root / "victim.ckpt", folder_of(loop) / "notes.txt",
                                           root / "run/config.ckpt"};
    for (const auto& victim : victims) write(victim, "precious");
    fs::create_symlink(root / "victim.ckpt", folder_of(loop) / "link.ckpt");
    fs::create_directory_symlink(root, folder_of(loop) / "linked");
    const auto filled = [&](std::string text) {
      if (const size_t at = text.find('R'); at != text.npos) text.replace(at, 1, root.string());
      return text;
    };
    ModelCheckpoint callback;
    StateDict state = callback.state_dict();
    Value item = Value::Object{{"path", filled(path)}, {"score", 99.0}};
    state.values["dirpath"] = filled(dirpath);
    state.values["best_k_models"] = Value::Array{std::move(item)};
    state.values["best_model_path"] = state.values["last_model_path"] = filled(path);
    callback.load_state_dict(state);
    start(loop, callback);
    epoch(loop, callback, 1.0);
    for (const auto& victim : victims) {
      EXPECT_EQ(read_file(victim), "precious") << dirpath << " " << path;
    }
  }
}

TEST(ModelCheckpoint, FilesThatAreGoneDoNotCountAfterAResume) {
  FakeLoop loop;
  ModelCheckpoint before({.monitor = "val_loss"});
  start(loop, before);
  epoch(loop, before, 1.0);
  fs::remove(folder_of(loop) / "epoch=0-step=1.ckpt");
  ModelCheckpoint after({.monitor = "val_loss"});
  after.load_state_dict(before.state_dict());
  start(loop, after);
  EXPECT_TRUE(after.best_model_path().empty());
  epoch(loop, after, 2.0);
  EXPECT_EQ(names_of(loop), Names{"epoch=1-step=2.ckpt"});
}

TEST(ModelCheckpoint, AllRanksGoOnWithTheFilesThatRankZeroHasFound) {
  Meeting meeting(2);
  ThreadRank zero(meeting, 0);
  ThreadRank other(meeting, 1);
  FakeLoop loop;
  const ModelCheckpointOptions options{.monitor = "val_loss", .save_last = true, .save_top_k = 3};
  ModelCheckpoint before(options);
  start(loop, before);
  for (const double loss : {3.0, 2.0, 4.0}) epoch(loop, before, loss);
  fs::remove(folder_of(loop) / "epoch=1-step=2.ckpt");
  ModelCheckpoint on_zero(options);
  ModelCheckpoint on_other(options);
  for (ModelCheckpoint* callback : {&on_zero, &on_other}) {
    callback->load_state_dict(before.state_dict());
  }
  loop.run.set_ranks(zero);
  on_zero.on_fit_start(loop.run);
  for (const auto& name : names_of(loop)) fs::remove(folder_of(loop) / name);
  loop.run.set_ranks(other);  // whose host doesn't have the files
  on_other.on_fit_start(loop.run);
  loop.run.set_ranks(single_rank());
  ASSERT_EQ(on_zero.best_k_models().size(), 2U);
  EXPECT_EQ(on_zero.best_model_score(), 3.0);
  EXPECT_EQ(on_zero.last_model_path().filename(), "last.ckpt");
  EXPECT_EQ(on_other.state_dict().values, on_zero.state_dict().values);
}

TEST(ModelCheckpoint, TheCheckpointKnowsItself) {
  FakeLoop loop;
  ModelCheckpoint callback({.monitor = "val_loss", .save_last = true});
  start(loop, callback);
  loop.step(callback);
  loop.validate(callback, {{"val_loss", 1.0}});
  const StateDict state = callback.state_dict();  // as the loop takes it when it writes the file
  EXPECT_EQ(state.values.at("best_model_path").as_string(),
            (folder_of(loop) / "epoch=0-step=1.ckpt").string());
  EXPECT_EQ(state.values.at("last_model_path").as_string(),
            (folder_of(loop) / "last.ckpt").string());
}

TEST(ModelCheckpoint, SavesOnAnExceptionWhereAsked) {
  for (const bool asked : {true, false}) {
    FakeLoop loop;
    ModelCheckpoint callback({.save_on_exception = asked});
    start(loop, callback);
    loop.step(callback);
    ::testing::internal::CaptureStderr();
    callback.on_exception(std::runtime_error("no"), loop.run);
    ::testing::internal::GetCapturedStderr();
    loop.boundary();
    EXPECT_EQ(names_of(loop), asked ? Names{"exception-epoch=0-step=1.ckpt"} : Names{});
  }
}

// The first run's file is the worst of those that the resumed fit knows, so it is the one that
// would be replaced.
TEST(ModelCheckpoint, AFitResumedInAnotherRunsFolderLeavesTheFirstRunsFiles) {
  TemporaryFolder folder;
  PointsModule data(40, {.batch_size = 8, .shuffle = true, .seed = 3});
  const auto fit = [&](const std::string& run, int64_t max_epochs, const std::string& checkpoint) {
    Classifier model;
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = max_epochs,
                     .default_root_dir = (folder.path() / run).string()});
    auto& callback = trainer.add<ModelCheckpoint>({.monitor = "val_loss", .save_last = true});
    trainer.fit(model, data, checkpoint);
    return std::pair(callback.folder(), callback.best_model_path());
  };
  const auto contents = [](const fs::path& checkpoints) {
    std::map<std::string, std::string> bytes;
    for (const auto& name : files_in(checkpoints)) bytes[name] = read_file(checkpoints / name);
    return bytes;
  };
  const auto [first, best] = fit("first", 2, "");
  const auto before = contents(first);
  EXPECT_EQ(before.size(), 2U);
  const auto [second, better] = fit("second", 4, (first / "last.ckpt").string());
  EXPECT_EQ(better.parent_path(), second);
  EXPECT_NE(second, first);
  EXPECT_TRUE(contents(first) == before);
}

TEST(ModelCheckpoint, AFitLeavesTheBestFilesAndResumesFromThem) {
  TemporaryFolder folder;
  PointsModule data(40, {.batch_size = 8, .shuffle = true, .seed = 3});
  Classifier model;
  Trainer trainer({.max_epochs = 4, .default_root_dir = folder.string()});
  auto& callback =
      trainer.add<ModelCheckpoint>({.monitor = "val_loss", .save_last = true, .save_top_k = 2});
  trainer.fit(model, data);

  const auto checkpoints = folder.path() / "levin_logs" / "version_0" / "checkpoints";
  EXPECT_EQ(files_in(checkpoints).size(), 3U);
  EXPECT_TRUE(fs::exists(checkpoints / "last.ckpt"));
  EXPECT_EQ(trainer.best_checkpoint(), callback.best_model_path());
  EXPECT_EQ(trainer.last_checkpoint(), callback.last_model_path());
  const StateDict saved = load_checkpoint(callback.best_model_path());
  EXPECT_TRUE(saved.has_child("model"));

  Classifier other;
  Trainer resumed({.max_epochs = 6, .default_root_dir = folder.string()});
  auto& again =
      resumed.add<ModelCheckpoint>({.monitor = "val_loss", .save_last = true, .save_top_k = 2});
  const History history = resumed.fit(other, data, callback.last_model_path().string());
  EXPECT_EQ(history.epochs.size(), 6U);
  EXPECT_EQ(again.folder(), callback.folder());
  EXPECT_EQ(files_in(checkpoints).size(), 3U);
}

TEST(ModelCheckpoint, AFitThatThrowsLeavesACheckpointWhereAsked) {
  class Failing : public Classifier {
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      if (step.global_step() == 3) throw std::runtime_error("the model failed");
      return Classifier::training_step(batch, step);
    }
  };
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 4});
  Failing model;
  Trainer trainer({.max_epochs = 2, .default_root_dir = folder.string()});
  auto& callback = trainer.add<ModelCheckpoint>({.save_on_exception = true});
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(trainer.fit(model, data), std::runtime_error);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("the model failed"), std::string::npos);
  EXPECT_EQ(files_in(callback.folder()), Names{"exception-epoch=0-step=3.ckpt"});
  EXPECT_TRUE(load_checkpoint(trainer.last_checkpoint()).has_child("model"));
}

TEST(ModelCheckpoint, AFitThatCannotWriteKeepsTheOlderFile) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 3, .default_root_dir = folder.string()});
  auto& callback = trainer.add<ModelCheckpoint>();
  int64_t writes = 0;
  files::inject_faults([&](const files::Operation& operation) {
    const bool checkpoint = operation.path.string().find(".ckpt") != std::string::npos;
    return operation.name == "rename" && checkpoint && ++writes == 2 ? ENOSPC : 0;
  });
  EXPECT_THROW(trainer.fit(model, data), CheckpointError);
  files::inject_faults({});
  EXPECT_EQ(files_in(callback.folder()), Names{"epoch=0-step=2.ckpt"});
}

}  // namespace levin::test::model_checkpoint_test
