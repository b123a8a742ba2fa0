#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "callbacks/checkpoint_fixture.h"
#include "framework/message_of.h"

// The options of ModelCheckpoint that say how, when and under which name it saves.

namespace levin::test::model_checkpoint_options_test {

/// A fit of two epochs in `folder` that saves as told; returns the file.
fs::path fit_once(const TemporaryFolder& folder, Classifier& model, bool weights_only) {
  PointsModule data(16, {.batch_size = 8});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .default_root_dir = folder.string()});
  trainer.add<ModelCheckpoint>({.save_weights_only = weights_only});
  trainer.fit(model, data);
  return trainer.best_checkpoint();
}

TEST(ModelCheckpointOptions, WeightsOnlyLeavesOutWhatResumingNeeds) {
  TemporaryFolder folder;
  Classifier model;
  const fs::path whole = fit_once(folder, model, false);
  const StateDict state = load_checkpoint(whole);
  for (const char* part : {"model", "optimizer", "loop", "random"}) {
    EXPECT_TRUE(state.has_child(part)) << part;
  }
  const fs::path small = fit_once(folder, model, true);
  const StateDict weights = load_checkpoint(small);
  for (const char* part : {"optimizer", "schedulers", "loop", "callbacks", "loggers", "random"}) {
    EXPECT_FALSE(weights.has_child(part)) << part;
  }
  const StateDict expected = model.state_dict();
  ASSERT_EQ(weights.tensors.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(same_bits(weights.tensor("model." + name), tensor)) << name;
  }
  EXPECT_LT(fs::file_size(small), fs::file_size(whole));
}

// Row 34: what it takes to share a run.
TEST(ModelCheckpointOptions, WeightsOnlyCanBeTestedButNotResumed) {
  TemporaryFolder folder;
  Classifier model;
  const std::string path = fit_once(folder, model, true).string();
  PointsModule data(16, {.batch_size = 8});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 4, .default_root_dir = folder.string()});
  const auto expected = trainer.test(model, data);
  Classifier other;
  EXPECT_EQ(trainer.test(other, data, path), expected);

  Classifier third;
  const StateDict before = third.state_dict().clone();
  const std::string message = message_of<CheckpointError>([&] { trainer.fit(third, data, path); });
  EXPECT_TRUE(says(message, {"can't resume training from '" + path + "': it holds weights only"}));
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(same_bits(third.state_dict().tensor(name), tensor)) << name << " was changed";
  }
}

TEST(ModelCheckpointOptions, MetricNamesGoIntoFileNamesUnlessToldNotTo) {
  for (const bool insert : {true, false}) {
    FakeLoop loop;
    ModelCheckpoint callback({.filename = "m-{epoch}-{val_loss:.2f}",
                              .monitor = "val_loss",
                              .auto_insert_metric_name = insert});
    start(loop, callback);
    loop.step(callback);
    loop.validate(callback, {{"val_loss", 0.25}});
    loop.boundary();
    EXPECT_EQ(names_of(loop), Names{insert ? "m-epoch=0-val_loss=0.25.ckpt" : "m-0-0.25.ckpt"});
  }
}

/// When files are there: after a validation in mid-epoch, the one at its end, the end of the epoch.
std::vector<size_t> files_after(std::optional<bool> on_train_epoch_end, const char* monitor) {
  FakeLoop loop;
  ModelCheckpoint callback(
      {.monitor = monitor, .save_top_k = -1, .save_on_train_epoch_end = on_train_epoch_end});
  start(loop, callback);
  std::vector<size_t> counts;
  for (int i = 0; i < 2; ++i) {
    loop.step(callback, {{"train_loss", 2.0 - i}});
    loop.validate(callback, {{"val_loss", 1.0 - 0.1 * i}});
    loop.boundary();
    counts.push_back(names_of(loop).size());
  }
  loop.end_epoch(callback);
  counts.push_back(names_of(loop).size());
  return counts;
}

TEST(ModelCheckpointOptions, SavesWhereTheMonitorIsNewUnlessToldWhen) {
  using Counts = std::vector<size_t>;
  EXPECT_EQ(files_after({}, "val_loss"), (Counts{1, 2, 2}));
  EXPECT_EQ(files_after({}, "train_loss"), (Counts{0, 0, 1}));
}

TEST(ModelCheckpointOptions, SaveOnTrainEpochEndSavesOnlyThere) {
  using Counts = std::vector<size_t>;
  EXPECT_EQ(files_after(true, "val_loss"), (Counts{0, 0, 1}));
  EXPECT_EQ(files_after(true, "train_loss"), (Counts{0, 0, 1}));
}

TEST(ModelCheckpointOptions, NotOnTrainEpochEndSavesAfterEachValidation) {
  using Counts = std::vector<size_t>;
  EXPECT_EQ(files_after(false, "val_loss"), (Counts{1, 2, 2}));
  EXPECT_EQ(files_after(false, ""), (Counts{1, 2, 2}));
}

TEST(ModelCheckpointOptions, VerboseSaysWhatIsSavedAndSilenceIsTheDefault) {
  for (const bool verbose : {true, false}) {
    FakeLoop loop;
    ModelCheckpoint callback({.verbose = verbose});
    start(loop, callback);
    loop.step(callback);
    ::testing::internal::CaptureStderr();
    loop.end_epoch(callback);
    const std::string said = ::testing::internal::GetCapturedStderr();
    const std::string path = (folder_of(loop) / "epoch=0-step=1.ckpt").string();
    EXPECT_EQ(said, verbose ? "epoch 0, step 1: saving " + path + "\n" : "");
  }
}

TEST(ModelCheckpointOptions, VerboseIsSilentOnOtherRanks) {
  FakeLoop loop;
  OtherRank ranks;
  loop.run.set_ranks(ranks);
  ModelCheckpoint callback({.verbose = true});
  start(loop, callback);
  loop.step(callback);
  ::testing::internal::CaptureStderr();
  loop.end_epoch(callback);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace levin::test::model_checkpoint_options_test
