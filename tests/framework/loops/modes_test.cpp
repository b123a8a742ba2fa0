#include "framework/support.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

// The mode of each part of a module is the user's; Lightning 2.2 and later.

namespace levin::modes_test {

/// A frozen batch norm in front of a head that learns.
class Frozen : public Module {
 public:
  Frozen()
      : norm_(register_module("norm", torch::nn::BatchNorm1d(4))),
        dropout_(register_module("dropout", torch::nn::Dropout(0.5))),
        head_(register_module("head", torch::nn::Linear(4, 3))) {
    for (auto& parameter : norm_->parameters()) parameter.requires_grad_(false);
    norm_->eval();
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    modes.insert(std::vector<bool>{is_training(), norm_->is_training(), dropout_->is_training()});
    return torch::cross_entropy_loss(forward(batch), batch.target());
  }
  void validation_step(const Batch& batch, Step& step) override {
    EXPECT_FALSE(is_training() || norm_->is_training() || dropout_->is_training());
    step.log("val_loss", torch::cross_entropy_loss(forward(batch), batch.target()));
  }
  Optimizers configure_optimizers() override {
    return SGD(head_->parameters(), {.learning_rate = 0.1});
  }
  torch::Tensor forward(const Batch& batch) { return head_(dropout_(norm_(batch.input()))); }
  const torch::nn::BatchNorm1d& norm() const { return norm_; }

  std::set<std::vector<bool>> modes;

 private:
  torch::nn::BatchNorm1d norm_;
  torch::nn::Dropout dropout_;
  torch::nn::Linear head_;
};

TEST(Modes, a_part_in_evaluation_mode_stays_in_it_through_fit_and_validation) {
  Frozen model;
  test::PointsModule data(24, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .val_check_interval = 2});
  trainer.fit(model, data);
  EXPECT_EQ(model.modes, (std::set<std::vector<bool>>{{true, false, true}}));
  EXPECT_FALSE(model.norm()->is_training());
  EXPECT_EQ(model.norm()->running_mean.abs().max().item<double>(), 0.0);
  EXPECT_EQ(model.norm()->num_batches_tracked.item<int64_t>(), 0);
}

TEST(Modes, a_module_in_evaluation_mode_stays_in_it_and_a_warning_says_so) {
  Frozen model;
  model.eval();
  test::PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  ::testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(printed.find("warning: the module is in evaluation mode"), std::string::npos)
      << printed;
  EXPECT_EQ(model.modes, (std::set<std::vector<bool>>{{false, false, false}}));
}

TEST(Modes, evaluation_and_prediction_put_every_mode_back) {
  Frozen model;
  test::PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu"});
  trainer.validate(model, data);
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(model.norm()->is_training());
}

}  // namespace levin::modes_test
