#include "framework/support.h"

#include <gtest/gtest.h>

#include <vector>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/tensor/random.h>

// A fit that resumes from a checkpoint that was saved by a validation, as most are, validates as if
// it had never stopped.

namespace levin::resumed_validation_test {

/// A validation: after how many steps it came, and the rows and the loss that it saw.
struct Pass {
  int64_t steps = 0;
  int64_t rows = 0;
  double loss = 0.0;
  bool operator==(const Pass&) const = default;
};
void PrintTo(const Pass& pass, std::ostream* out) {
  *out << pass.rows << " rows after step " << pass.steps << ": " << pass.loss;
}

class Watched : public test::Classifier {
 public:
  void on_validation_epoch_start(levin::Run&) override { rows_ = 0; }
  void validation_step(const Batch& batch, Step& step) override {
    rows_ += batch.rows();
    Classifier::validation_step(batch, step);
  }
  void on_validation_end(levin::Run& run) override {
    if (run.progress().sanity_checking())
      ++sanity_checks;
    else
      passes.push_back({run.global_step(), rows_, run.metrics().at("val_loss")});
  }
  std::vector<Pass> passes;
  int64_t sanity_checks = 0;

 private:
  int64_t rows_ = 0;
};

struct Fitted {
  std::vector<Pass> passes;
  std::vector<std::filesystem::path> checkpoints;  // in the order of the validations
};

/// Two epochs of ten batches.
Fitted fit(TrainerOptions options, const std::string& checkpoint) {
  options.accelerator = "cpu";
  options.max_epochs = 2;
  seed_everything(8);
  Watched model;
  test::PointsModule data(60, {.batch_size = 6, .shuffle = true});
  Trainer trainer(std::move(options));
  const auto& saved = trainer.add<ModelCheckpoint>({.monitor = "val_loss", .save_top_k = -1});
  trainer.fit(model, data, checkpoint);
  EXPECT_EQ(model.sanity_checks, checkpoint.empty() ? 1 : 0);
  Fitted fitted{.passes = model.passes, .checkpoints = {}};
  for (const auto& one : saved.best_k_models()) fitted.checkpoints.push_back(one.path);
  return fitted;
}

void expect_same_validations(TrainerOptions options, const std::vector<int64_t>& steps) {
  const test::TemporaryFolder folder;
  options.default_root_dir = folder.string();
  const Fitted whole = fit(options, "");
  std::vector<int64_t> found;
  for (const Pass& pass : whole.passes) {
    found.push_back(pass.steps);
    EXPECT_EQ(pass.rows, 30);
  }
  ASSERT_EQ(found, steps);
  ASSERT_EQ(whole.checkpoints.size(), steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto first = whole.passes.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    EXPECT_EQ(fit(options, whole.checkpoints[i].string()).passes,
              std::vector<Pass>(first, whole.passes.end()))
        << "resumed from " << whole.checkpoints[i];
  }
}

TEST(ResumedValidation, comes_where_it_would_have_and_not_again_after_each_epoch) {
  expect_same_validations({}, {10, 20});
}

TEST(ResumedValidation, comes_where_it_would_have_and_not_again_within_epochs) {
  expect_same_validations({.val_check_interval = 0.25}, {2, 4, 6, 8, 10, 12, 14, 16, 18, 20});
  expect_same_validations({.val_check_interval = 4}, {4, 8, 14, 18});
}

TEST(ResumedValidation, comes_where_it_would_have_and_not_again_across_epochs) {
  expect_same_validations({.val_check_interval = 6, .check_val_every_n_epoch = std::nullopt},
                          {6, 12, 18});
}

}  // namespace levin::resumed_validation_test
