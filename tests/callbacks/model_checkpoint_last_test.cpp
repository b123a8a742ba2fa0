#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "callbacks/counter.h"

namespace levin::test::model_checkpoint_last_test {

/// Fits with two callbacks that save, and returns the folder of the checkpoints. The metric of an
/// epoch is the next of `scores`.
fs::path fit(const TemporaryFolder& folder, ModelCheckpointOptions options,
             const std::vector<double>& scores) {
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, static_cast<int64_t>(scores.size())));
  trainer.add<LambdaCallback>({.on_validation_epoch_end = [&](levin::Run& run) {
    run.log("score", scores[static_cast<size_t>(run.epoch())]);
  }});
  trainer.add<ModelCheckpoint>(std::move(options));
  trainer.fit(model, data);
  return trainer.run().log_dir() / "checkpoints";
}

int64_t step_in(const fs::path& path) {
  return load_checkpoint(path).child("loop").values.at("global_step").as_int();
}

TEST(ModelCheckpointLast, IsALinkToTheCheckpointOfTheSameStep) {
  const TemporaryFolder folder;
  const auto saved =
      fit(folder, {.monitor = "score", .save_last = "link", .save_top_k = 1}, {3.0, 2.0});
  EXPECT_EQ(files_in(saved), (std::set<std::string>{"epoch=1-step=8.ckpt", "last.ckpt"}));
  ASSERT_TRUE(fs::is_symlink(saved / "last.ckpt"));
  EXPECT_EQ(fs::read_symlink(saved / "last.ckpt"), "epoch=1-step=8.ckpt") << "the folder may move";
  EXPECT_EQ(step_in(saved / "last.ckpt"), 8);
}

TEST(ModelCheckpointLast, IsAFileIfTheStepIsNotAmongTheBestAndTheTargetStaysAsItIs) {
  const TemporaryFolder folder;
  const auto saved =
      fit(folder, {.monitor = "score", .save_last = "link", .save_top_k = 1}, {1.0, 2.0});
  EXPECT_FALSE(fs::is_symlink(saved / "last.ckpt"));
  EXPECT_EQ(step_in(saved / "last.ckpt"), 8);
  EXPECT_EQ(step_in(saved / "epoch=0-step=4.ckpt"), 4);
}

TEST(ModelCheckpointLast, AResumedFitGoesOnFromTheLinkAndMovesIt) {
  const TemporaryFolder folder;
  const ModelCheckpointOptions options{.monitor = "score", .save_last = "link", .save_top_k = 1};
  const auto saved = fit(folder, options, {3.0});
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 2));
  trainer.add<LambdaCallback>(
      {.on_validation_epoch_end = [](levin::Run& run) { run.log("score", 1.0); }});
  auto& again = trainer.add<ModelCheckpoint>(options);
  trainer.fit(model, data, (saved / "last.ckpt").string());
  EXPECT_EQ(again.last_model_path(), saved / "last.ckpt");
  EXPECT_EQ(fs::read_symlink(saved / "last.ckpt"), "epoch=1-step=8.ckpt");
  EXPECT_EQ(files_in(saved).size(), 2U);
}

TEST(ModelCheckpointLast, OtherWordsAreRefused) {
  EXPECT_THROW(ModelCheckpoint({.save_last = "copy"}), ConfigError);
}

TEST(ModelCheckpointVersions, AreLeftOutIfNamesShallBeUsedAgain) {
  const TemporaryFolder folder;
  ModelCheckpointOptions options{.dirpath = (folder / "kept").string(),
                                 .filename = "model",
                                 .save_top_k = -1,
                                 .enable_version_counter = false};
  fit(folder, options, {2.0, 1.0});
  EXPECT_EQ(files_in(folder / "kept"), std::set<std::string>{"model.ckpt"});
  EXPECT_EQ(step_in(folder / "kept" / "model.ckpt"), 8);
  options.enable_version_counter = true;
  fit(folder, options, {2.0});
  EXPECT_EQ(files_in(folder / "kept"), (std::set<std::string>{"model.ckpt", "model-v1.ckpt"}));
}

}  // namespace levin::test::model_checkpoint_last_test
