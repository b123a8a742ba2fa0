#include <levin/callbacks/defaults.h>
#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/callbacks/model_summary.h>
#include <levin/callbacks/progress_bar.h>
#include <levin/framework/loggers/console_logger.h>
#include <levin/framework/loggers/csv_logger.h>

#include <algorithm>

#include "callbacks/fixture.h"

namespace levin::test::defaults_test {

template <class C>
int64_t count(const Trainer& trainer) {
  return std::count_if(trainer.callbacks().begin(), trainer.callbacks().end(),
                       [](const auto& one) { return dynamic_cast<C*>(one.get()) != nullptr; });
}

TEST(Defaults, AddsWhatLightningHas) {
  Trainer trainer;
  add_defaults(trainer);
  EXPECT_EQ(count<ProgressBar>(trainer), 1);
  EXPECT_EQ(count<ModelSummary>(trainer), 1);
  EXPECT_EQ(count<ModelCheckpoint>(trainer), 1);
  ASSERT_EQ(trainer.loggers().size(), 1U);
  EXPECT_NE(dynamic_cast<CsvLogger*>(trainer.loggers()[0].get()), nullptr);
}

TEST(Defaults, AddsNothingThatIsThereAlready) {
  Trainer trainer;
  trainer.add<ModelCheckpoint>({.save_top_k = -1});
  trainer.add_logger<ConsoleLogger>();
  add_defaults(trainer);
  add_defaults(trainer);
  EXPECT_EQ(count<ModelCheckpoint>(trainer), 1);
  EXPECT_EQ(count<ProgressBar>(trainer), 1);
  EXPECT_EQ(trainer.callbacks().size(), 3U);
  EXPECT_EQ(trainer.loggers().size(), 1U);
}

// README.md shows the two lines about early stopping and defaults.
TEST(Defaults, ComeAfterTheCallbacksOfOnesOwn) {
  Trainer trainer;
  trainer.add<levin::EarlyStopping>({.monitor = "val_loss", .patience = 3});
  levin::add_defaults(trainer);
  ASSERT_EQ(trainer.callbacks().size(), 4U);
  EXPECT_NE(dynamic_cast<EarlyStopping*>(trainer.callbacks()[0].get()), nullptr);
}

// Row 34: what it takes to share a run.
TEST(Defaults, AFitWithThemLeavesARunFolder) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 2, .default_root_dir = folder.string()});
  add_defaults(trainer);
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const std::string shown = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(shown.find("parameters ("), std::string::npos) << shown;
  EXPECT_NE(shown.find("Epoch 1/1"), std::string::npos) << shown;
  const auto run = folder.path() / "levin_logs" / "version_0";
  EXPECT_TRUE(fs::exists(run / "metrics.csv"));
  EXPECT_TRUE(fs::exists(run / "hparams.yaml"));
  EXPECT_EQ(files_in(run / "checkpoints"), std::set<std::string>{"epoch=1-step=4.ckpt"});
}

TEST(Defaults, AFastDevRunLeavesNothing) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.fast_dev_run = true, .default_root_dir = folder.string()});
  add_defaults(trainer);
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace levin::test::defaults_test
