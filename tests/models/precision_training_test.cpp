// The shipped models in each precision: closed forms only where they keep its promise.
#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <memory>

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/solvers/newton_cholesky.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

namespace levin::precision_training_test {

using test::make_points;
using test::message_of;
using test::says;
using test::TemporaryFolder;

struct PrecisionTraining : ::testing::Test {
  TrainerOptions options(const char* precision, int64_t max_epochs = 4) const {
    return {.accelerator = "cpu",
            .precision = precision,
            .max_epochs = max_epochs,
            .num_sanity_val_steps = 0,
            .default_root_dir = folder.path().string()};
  }
  TemporaryFolder folder;
};

/// With SGD by default, because squares of gradients, which Adam keeps, become 0 in float16.
std::unique_ptr<Classifier> make_model(bool is_mlp, const std::string& optimizer = "SGD",
                                       double learning_rate = 0.5) {
  if (is_mlp) {
    return std::make_unique<MLP>(
        MLPOptions{.hidden_sizes = {16}, .learning_rate = learning_rate, .optimizer = optimizer});
  }
  return std::make_unique<LogisticRegression>(
      LogisticRegressionOptions{.learning_rate = learning_rate, .optimizer = optimizer});
}

TEST_F(PrecisionTraining, of_classifiers_reaches_the_loss_of_float32) {
  const auto points = make_points(200);
  for (const bool is_mlp : {false, true}) {
    double in_float32 = 0.0;
    for (const char* precision :
         {"32-true", "64-true", "bf16-true", "16-true", "bf16-mixed", "16-mixed"}) {
      SCOPED_TRACE(testing::Message() << precision << (is_mlp ? ", MLP" : ""));
      seed_everything(2);
      ArrayDataModule data(points.input, points.target, {.batch_size = 20, .test_split = 0.0});
      auto model = make_model(is_mlp);
      Trainer trainer(options(precision));
      trainer.fit(*model, data);
      const double loss = trainer.validate(*model, data).at("val_loss");
      if (in_float32 == 0.0) in_float32 = loss;
      EXPECT_NEAR(loss, in_float32, 0.02);
      EXPECT_LT(loss, 0.7);  // of 1.1 at the beginning
      const bool is_double = std::string(precision) == "64-true";
      for (const auto& [name, tensor] : trainer.predict(*model, data)) {
        if (name != "probability") continue;
        EXPECT_EQ(tensor.dtype(), is_double ? torch::kDouble : torch::kFloat);
      }
    }
  }
}

// Their closed forms multiply in float32, which isn't what a mixed precision asks for.
TEST_F(PrecisionTraining, in_a_mixed_precision_multiplies_in_two_bytes_and_learns_by_autograd) {
  const auto points = make_points(50);
  for (const bool is_mlp : {false, true}) {
    auto model = make_model(is_mlp);
    ArrayDataModule data(points.input, points.target, {.batch_size = 25});
    Trainer(options("bf16-mixed", 1)).fit(*model, data);
    for (const auto& parameter : model->parameters()) EXPECT_EQ(parameter.dtype(), torch::kFloat);
    RunControl run;
    LoggedValues metrics;
    StepControl step(run, metrics, /*on_step=*/true);
    const Batch batch({{"input", points.input}, {"target", points.target}});
    const auto exact = model->training_step(batch, step);
    const AutocastScope scope(torch::kBFloat16, torch::kCPU);
    const auto logits = model->forward(points.input);
    EXPECT_EQ(logits.dtype(), torch::kBFloat16);
    const auto loss = model->training_step(batch, step);
    EXPECT_EQ(loss.item<float>(), cross_entropy(logits, points.target).item<float>());
    EXPECT_EQ(loss.dtype(), torch::kFloat);
    EXPECT_NE(loss.item<float>(), exact.item<float>());
  }
}

TEST_F(PrecisionTraining, in_float64_takes_the_steps_of_libtorch_in_float64) {
  const auto points = make_points(40);
  const auto x = points.input.to(torch::kDouble) + 1e-12;  // not float32 numbers
  ArrayDataModule data(x, points.target,
                       {.batch_size = 40, .val_split = 0.0, .test_split = 0.0, .shuffle = false});
  LogisticRegression model(
      {.in_features = 4, .num_classes = 3, .learning_rate = 0.1, .optimizer = "SGD"});
  auto linear = torch::nn::Linear(4, 3);
  {
    const torch::NoGradGuard no_grad;
    const auto own = model.parameters();
    for (size_t i = 0; i < own.size(); ++i) linear->parameters()[i].copy_(own[i]);
  }
  linear->to(torch::kDouble);
  torch::optim::SGD optimizer(linear->parameters(), torch::optim::SGDOptions(0.1));
  for (int i = 0; i < 4; ++i) {
    optimizer.zero_grad();
    torch::cross_entropy_loss(linear(x), points.target).backward();
    optimizer.step();
  }
  Trainer(options("64-true")).fit(model, data);
  for (size_t i = 0; i < 2; ++i) {
    const auto difference = (model.parameters()[i] - linear->parameters()[i]).abs().max();
    EXPECT_LT(difference.item<double>(), 1e-15);
  }
}

TEST_F(PrecisionTraining, of_a_regression_keeps_the_targets_digits_in_a_mixed_precision) {
  seed_everything(1);
  const auto x = torch::rand({64, 3});
  const auto y =
      torch::full({64}, 1.00390625 / 4) + 1000.0;  // 1000 has 2 digits behind it in bfloat16
  ArrayDataModule data(x, y, {.batch_size = 64, .val_split = 0.0, .test_split = 0.0});
  LinearRegression model({.in_features = 3, .out_features = 1});
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : model.parameters()) parameter.zero_();
  }
  Trainer trainer(options("bf16-mixed", 1));
  trainer.fit(model, data);
  EXPECT_NEAR(trainer.run().metrics().at("train_loss"), 1000.25097656 * 1000.25097656, 1.0);
}

TEST_F(PrecisionTraining, of_solvers_keeps_the_digits_of_float64_and_refuses_two_bytes) {
  const auto x = torch::linspace(0.0, 1.0, 30, torch::kDouble).unsqueeze(1);
  const auto y = x.squeeze(1) * (1.0 + 1e-10) + 1e-11;
  const auto make = [&] {
    return ArrayDataModule(x, y, {.val_split = 0.0, .test_split = 0.0, .target_type = "value"});
  };
  const auto solve = [](Module& m) { return NewtonCholesky(m.parameters(), {.tol = 1e-14}); };
  {
    auto data = make();
    LinearRegression model(LinearRegressionOptions{});
    Trainer trainer(options("64-true", 50));
    trainer.set_optimizers(solve);
    trainer.fit(model, data);
    EXPECT_EQ(model.parameters()[0].dtype(), torch::kDouble);
    EXPECT_NEAR(model.parameters()[0].item<double>(), 1.0 + 1e-10, 1e-12);
    EXPECT_NEAR(model.parameters()[1].item<double>(), 1e-11, 1e-12);
  }
  for (const char* precision : {"bf16-true", "16-true", "bf16-mixed", "16-mixed"}) {
    auto data = make();
    LinearRegression model(LinearRegressionOptions{});
    Trainer trainer(options(precision, 2));
    trainer.set_optimizers(solve);
    EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }),
                     {precision, "newton-cholesky", "64-true"}));
  }
}

/// How a fit with gradients that are too large for float16 at the first scale ended.
struct Overflowed {
  int64_t steps = 0;
  int64_t skipped = 0;
  double loss = 0.0;
};

Overflowed fit_large(TrainerOptions options, bool is_mlp, const char* graph) {
  seed_everything(2);
  const auto points = make_points(200);
  ArrayDataModule data(points.input * 100.0, points.target, {.batch_size = 20, .test_split = 0.0});
  auto model = make_model(is_mlp, "Adam", 0.02);
  options.cuda_graph = graph;
  Trainer trainer(options);
  trainer.fit(*model, data);
  const auto& run = trainer.run();
  Overflowed result{run.global_step(), run.progress().skipped_steps, 0.0};
  result.loss = trainer.validate(*model, data).at("val_loss");
  return result;
}

TEST_F(PrecisionTraining, in_16_mixed_leaves_out_steps_until_the_scale_suits_the_gradients) {
  for (const bool is_mlp : {false, true}) {
    const auto result = fit_large(options("16-mixed", 6), is_mlp, "auto");
    EXPECT_EQ(result.steps + result.skipped, 6 * 9);
    EXPECT_GT(result.skipped, 1);
    EXPECT_LT(result.skipped, 20);
    const auto expected = fit_large(options("32-true", 6), is_mlp, "auto");
    EXPECT_EQ(expected.steps, 6 * 9);
    EXPECT_EQ(expected.skipped, 0);
  }
}

class PrecisionTrainingCuda : public PrecisionTraining {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
};

TEST_F(PrecisionTrainingCuda, of_captured_steps_counts_and_learns_as_that_of_eager_ones) {
  for (const bool is_mlp : {false, true}) {
    for (const char* precision : {"bf16-mixed", "16-mixed", "bf16-true"}) {
      SCOPED_TRACE(testing::Message() << precision << (is_mlp ? ", MLP" : ""));
      auto given = options(precision, 6);
      given.accelerator = "gpu";
      const auto eager = fit_large(given, is_mlp, "off");
      const auto captured = fit_large(given, is_mlp, "on");
      EXPECT_EQ(captured.steps + captured.skipped, 6 * 9);
      EXPECT_NEAR(static_cast<double>(captured.skipped), static_cast<double>(eager.skipped), 1.0);
      EXPECT_EQ(captured.skipped > 0, std::string(precision) == "16-mixed");
      EXPECT_NEAR(captured.loss, eager.loss, 0.1 * eager.loss + 0.05);
    }
  }
}

}  // namespace levin::precision_training_test
