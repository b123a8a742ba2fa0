// What a module keeps of an epoch's batches by itself, and logs at the epoch's end.
#include <levin/callbacks/early_stopping.h>

#include <torch/torch.h>

#include "framework/support.h"

namespace levin::test::epoch_outputs_test {

/// Keeps the outputs of each validation's batches, and logs the share of right ones at its end.
class KeepsOutputs : public Classifier {
 public:
  void validation_step(const Batch& batch, Step& step) override {
    Classifier::validation_step(batch, step);
    outputs_.push_back(forward(batch.input()));
    targets_.push_back(batch.target());
  }
  void on_validation_epoch_end(Run& run) override {
    const auto right = torch::cat(outputs_).argmax(1).eq(torch::cat(targets_));
    rows.push_back(right.numel());
    run.log("own_acc", right.to(torch::kDouble).mean());
    outputs_.clear();
    targets_.clear();
  }
  void on_train_epoch_end(Run& run) override {
    run.log("epochs_done", torch::tensor(static_cast<double>(run.epoch() + 1)));
  }
  std::vector<int64_t> rows;

 private:
  std::vector<torch::Tensor> outputs_;
  std::vector<torch::Tensor> targets_;
};

TEST(EpochOutputs, of_all_batches_are_there_at_the_end_of_each_validation) {
  TemporaryFolder folder;
  KeepsOutputs model;
  PointsModule data(40, {.batch_size = 8});  // validates 30 rows in batches of 8
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 3,
                   .num_sanity_val_steps = 0,
                   .default_root_dir = folder.string()});
  const History history = trainer.fit(model, data);
  EXPECT_EQ(model.rows, (std::vector<int64_t>{30, 30, 30}));
  for (const auto& epoch : history.epochs) {
    EXPECT_NEAR(epoch.metrics.at("own_acc"), epoch.metrics.at("val_acc"), 1e-6);
  }
}

TEST(EpochOutputs, that_a_module_logs_at_the_end_can_be_monitored_in_the_same_epoch) {
  TemporaryFolder folder;
  KeepsOutputs model;
  PointsModule data(40, {.batch_size = 8});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 9, .default_root_dir = folder.string()});
  trainer.add<EarlyStopping>({.monitor = "epochs_done",
                              .patience = 9,
                              .mode = "max",
                              .stopping_threshold = 3.5,
                              .check_on_train_epoch_end = true});
  EXPECT_EQ(trainer.fit(model, data).epochs.size(), 4U);  // the first that is above the threshold
}

}  // namespace levin::test::epoch_outputs_test
