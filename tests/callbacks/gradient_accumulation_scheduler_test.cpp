#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/framework/core/error.h>

#include "callbacks/fixture.h"

namespace levin::test::gradient_accumulation_scheduler_test {

TEST(GradientAccumulationScheduler, RefusesWhatIsNoSchedule) {
  for (const char* text : {"", "4", "a:1", "0:0", "-1:2", "0:1,", "0:1, 0:2", "0:1.5"}) {
    EXPECT_THROW(GradientAccumulationScheduler({.scheduling = text}), ConfigError) << text;
  }
}

TEST(GradientAccumulationScheduler, TakesTheNumberOfTheLastEpochReached) {
  const GradientAccumulationScheduler callback({.scheduling = "{4: 2, 8: 4}"});
  EXPECT_EQ(callback.accumulation(0), 1);
  EXPECT_EQ(callback.accumulation(3), 1);
  EXPECT_EQ(callback.accumulation(4), 2);
  EXPECT_EQ(callback.accumulation(7), 2);
  EXPECT_EQ(callback.accumulation(100), 4);
}

TEST(GradientAccumulationScheduler, ChangesTheStepsOfAFitFromTheEpochsFirstBatchOn) {
  TemporaryFolder folder;
  PointsModule data(32, {.batch_size = 4});  // 8 batches an epoch
  Classifier model;
  Trainer trainer({.max_epochs = 3, .default_root_dir = folder.string()});
  trainer.add<GradientAccumulationScheduler>({.scheduling = "0:2, 1:1, 2:8"});
  const History history = trainer.fit(model, data);
  ASSERT_EQ(history.epochs.size(), 3U);
  EXPECT_EQ(history.epochs[0].global_step, 4);
  EXPECT_EQ(history.epochs[1].global_step, 12);
  EXPECT_EQ(history.epochs[2].global_step, 13);
}

}  // namespace levin::test::gradient_accumulation_scheduler_test
