#include <levin/framework/loggers/console_logger.h>

#include "callbacks/fixture.h"

namespace levin::test::console_logger_test {

TEST(ConsoleLogger, WritesAPlainLineAnEpoch) {
  Capture out;
  ConsoleLogger logger({}, out.file());
  logger.log_metrics({{"train_loss", 1.0}}, 0, 0);
  logger.log_epoch_metrics({{"val_loss", 0.24171234}, {"val_acc", 0.9312}}, 3, 120);
  logger.finish(false);
  EXPECT_EQ(out.text(), "epoch 3, step 120: val_acc 0.9312, val_loss 0.2417\n");
}

TEST(ConsoleLogger, WritesStepsWhereAsked) {
  Capture out;
  ConsoleLogger logger({.log_steps = true}, out.file());
  logger.log_metrics({{"train_loss", 1.0}}, 0, 49);
  EXPECT_EQ(out.text(), "epoch 0, step 49: train_loss 1\n");
}

TEST(ConsoleLogger, AFitWritesALineForEachValidationAndEpoch) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Capture out;
  Trainer trainer({.max_epochs = 2, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add_logger(std::make_unique<ConsoleLogger>(ConsoleLoggerOptions{}, out.file()));
  trainer.fit(model, data);
  const auto lines = lines_of(out.text());
  ASSERT_EQ(lines.size(), 4U) << out.text();
  EXPECT_EQ(lines[2].find("epoch 1, step 3: val_acc "), 0U) << lines[2];
  EXPECT_EQ(lines[3].find("epoch 1, step 3: train_loss_epoch "), 0U) << lines[3];
}

}  // namespace levin::test::console_logger_test
