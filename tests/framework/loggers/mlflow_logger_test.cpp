#include <levin/framework/core/error.h>
#include <levin/framework/loggers/mlflow_logger.h>

#include <cstdlib>

#include "callbacks/fixture.h"
#include "framework/message_of.h"

namespace levin::test::mlflow_logger_test {

TEST(MlflowLogger, AnAddressThatIsNoneIsAConfigError) {
  ::unsetenv("MLFLOW_TRACKING_URI");
  for (const char* wrong : {"", "./mlruns", "file:///tmp/mlruns", "sqlite:///mlflow.db"}) {
    const auto message =
        message_of<ConfigError>([&] { MlflowLogger logger({.tracking_uri = wrong}); });
    EXPECT_TRUE(says(message, {"tracking_uri", "http://localhost:5000", "MLFLOW_TRACKING_URI"}));
  }
}

// Nothing listens at port 1.
TEST(MlflowLogger, AServerThatIsNotThereDoesNotEndAFit) {
  TemporaryFolder folder;
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Trainer trainer({.max_epochs = 3, .log_every_n_steps = 1, .default_root_dir = folder.string()});
  trainer.add_logger<MlflowLogger>({.tracking_uri = "http://127.0.0.1:1/", .finish_timeout = 0.01});
  ::testing::internal::CaptureStderr();
  const History history = trainer.fit(model, data);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(history.epochs.size(), 3U);
  EXPECT_TRUE(says(said, {"MLflow at http://127.0.0.1:1 lacks", "which couldn't be sent"}));
}

TEST(MlflowLogger, ACheckpointHoldsTheRunButNoLogin) {
  ::setenv("MLFLOW_TRACKING_TOKEN", "secret", 1);
  MlflowLogger logger({.tracking_uri = "http://127.0.0.1:1"});
  StateDict state;
  state.values["run_id"] = "abc";
  state.values["token"] = "def";
  logger.load_state_dict(state);
  EXPECT_EQ(logger.state_dict().values, state.values);
  ::unsetenv("MLFLOW_TRACKING_TOKEN");
}

}  // namespace levin::test::mlflow_logger_test
