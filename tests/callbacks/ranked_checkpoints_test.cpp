// Checkpoints of whole fits that are due by steps.
#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/tensor/random.h>

#include <set>

#include "callbacks/fixture.h"

namespace levin::test::ranked_checkpoints_test {

/// Ten batches an epoch, two epochs, and a validation after every fifth batch.
Trainer five_by_five(const TemporaryFolder& folder, int64_t accumulate = 1) {
  seed_everything(4);
  return Trainer({.accelerator = "cpu",
                  .max_epochs = 2,
                  .val_check_interval = 5,
                  .num_sanity_val_steps = 0,
                  .accumulate_grad_batches = accumulate,
                  .default_root_dir = folder.string()});
}

TEST(RankedCheckpoints, have_the_weights_that_their_scores_were_measured_on) {
  for (const int64_t every : {1, 2, 5}) {
    SCOPED_TRACE(every);
    TemporaryFolder folder;
    PointsModule data(40, {.batch_size = 4, .shuffle = true, .seed = 7});
    Trainer trainer = five_by_five(folder);
    Classifier model;
    auto& callback = trainer.add<ModelCheckpoint>(
        {.monitor = "val_loss", .save_top_k = -1, .every_n_train_steps = every});
    trainer.fit(model, data);
    const auto saved = callback.best_k_models();
    ASSERT_EQ(saved.size(), 4U);  // one for each validation
    for (const auto& one : saved) {
      const int64_t step = load_checkpoint(one.path).values.at("global_step").as_int();
      EXPECT_EQ(step % 5, 0) << "saved at another step than that of the validation";
      Classifier other;
      Trainer evaluating = five_by_five(folder);
      const auto metrics = evaluating.validate(other, data, one.path.string());
      EXPECT_NEAR(metrics.at("val_loss"), one.score, 1e-6) << one.path;
    }
  }
}

TEST(RankedCheckpoints, are_due_by_optimizer_steps_if_batches_are_accumulated) {
  TemporaryFolder folder;
  PointsModule data(40, {.batch_size = 4, .shuffle = true, .seed = 7});
  Trainer trainer = five_by_five(folder, /*accumulate=*/4);  // 3 steps an epoch
  Classifier model;
  auto& callback = trainer.add<ModelCheckpoint>({.save_top_k = -1, .every_n_train_steps = 2});
  trainer.fit(model, data);
  std::set<int64_t> steps;
  for (const auto& name : files_in(callback.folder())) {
    const auto state = load_checkpoint(callback.folder() / name);
    EXPECT_TRUE(steps.insert(state.values.at("global_step").as_int()).second) << name;
  }
  EXPECT_EQ(trainer.run().global_step(), 6);
  EXPECT_EQ(steps, (std::set<int64_t>{2, 4, 6}));
}

}  // namespace levin::test::ranked_checkpoints_test
