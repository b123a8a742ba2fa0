// Fits by solvers that look at single rows or features: what they find, and when they are refused.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "framework/message_of.h"

namespace levin::row_solvers_training_test {
namespace {

struct Data {
  torch::Tensor x;
  torch::Tensor y;
};

Data rows() {
  torch::manual_seed(5);
  auto x = torch::randn({120, 8});
  return {x, (x.select(1, 0) + 0.5 * torch::randn({120}) > 0).to(torch::kLong)};
}

ArrayDataModule data_of(const Data& data) {
  return {data.x, data.y, {.batch_size = 16, .val_split = 0, .test_split = 0}};
}

LogisticRegression model_of(const std::string& solver, double l1, double l2) {
  torch::manual_seed(1);
  return LogisticRegression({.in_features = 8,
                             .num_classes = 2,
                             .l1_strength = l1,
                             .l2_strength = l2,
                             .solver = solver,
                             .tol = 1e-7,
                             .max_iter = 2000});
}

void fit(LogisticRegression& model, DataModule& data) {
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2000, .num_sanity_val_steps = 0});
  trainer.fit(model, data);
}

torch::Tensor weight_by(const std::string& solver, double l1, double l2) {
  auto data = data_of(rows());
  auto model = model_of(solver, l1, l2);
  fit(model, data);
  return model.named_parameters()["linear.weight"].detach().clone();
}

/// Rows whose batches a transform changes.
class ChangedRows final : public DataModule {
 public:
  ChangedRows() : inner_(data_of(rows())) {}
  void setup(Stage stage) override { inner_.setup(stage); }
  DataLoaders train_dataloader() override {
    const auto loaders = inner_.train_dataloader();
    auto options = loaders.front().options();
    options.transform = [](Batch& batch, const TransformContext&) {
      batch.set("input", batch.input() * 2.0);
    };
    return DataLoader(loaders.front().shared_dataset(), options);
  }

 private:
  ArrayDataModule inner_;
};

TEST(RowSolversTraining, all_find_the_weights_that_lbfgs_finds) {
  const auto with_l2 = weight_by("lbfgs", 0.0, 0.02);
  for (const char* solver : {"coordinate-descent", "dual-coordinate-descent", "sag", "saga"}) {
    EXPECT_TRUE(torch::allclose(weight_by(solver, 0.0, 0.02), with_l2, 0.0, 1e-4)) << solver;
  }
  const auto with_l1 = weight_by("lbfgs", 0.03, 0.0);
  for (const char* solver : {"coordinate-descent", "saga", "auto"}) {
    const auto weight = weight_by(solver, 0.03, 0.0);
    EXPECT_TRUE(torch::allclose(weight, with_l1, 0.0, 1e-4)) << solver;
    EXPECT_TRUE(torch::equal(weight == 0, with_l1 == 0)) << solver;
    EXPECT_GT(weight.eq(0).sum().item<int64_t>(), 0) << solver;
  }
}

TEST(RowSolversTraining, rows_that_change_are_refused_by_name_and_auto_takes_lbfgs_for_them) {
  for (const char* solver : {"coordinate-descent", "saga", "sag", "dual-coordinate-descent"}) {
    ChangedRows data;
    auto model = model_of(solver, 0.0, 0.02);
    const auto before = model.named_parameters()["linear.weight"].detach().clone();
    std::string message;
    try {
      fit(model, data);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    EXPECT_NE(message.find(solver), std::string::npos) << message;
    EXPECT_NE(message.find("transform"), std::string::npos) << message;
    EXPECT_NE(message.find("lbfgs"), std::string::npos) << message;
    EXPECT_TRUE(torch::equal(model.named_parameters()["linear.weight"], before));
  }
  ChangedRows data;
  auto model = model_of("auto", 0.03, 0.0);
  fit(model, data);
  EXPECT_GT(model.named_parameters()["linear.weight"].eq(0).sum().item<int64_t>(), 0);
}

// What no file tells: rows that are given as tensors.
TEST(RowSolversTraining, penalties_and_rows_that_cannot_be_are_refused_before_the_first_step) {
  const auto refused = [](const std::string& solver, double l1, const Data& rows) {
    auto data = data_of(rows);
    auto model = model_of(solver, l1, 0.02);
    const auto before = model.named_parameters()["linear.weight"].detach().clone();
    Trainer trainer({.accelerator = "cpu", .max_epochs = 5, .num_sanity_val_steps = 0});
    std::string message;
    try {
      trainer.fit(model, data);
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_EQ(trainer.run().global_step(), 0);
    EXPECT_TRUE(torch::equal(model.named_parameters()["linear.weight"], before));
    return message;
  };
  for (const char* solver :
       {"newton-cg", "trust-region", "newton-cholesky", "sag", "dual-coordinate-descent"}) {
    EXPECT_TRUE(test::says(refused(solver, 0.1, rows()), {"L1", solver, "coordinate-descent"}));
  }
  auto one_class = rows();
  one_class.y.fill_(1);
  auto no_class = rows();
  no_class.y[7] = 2;
  auto no_number = rows();
  no_number.x[7][3] = std::nan("");
  for (const char* solver : {"lbfgs", "newton-cholesky", "coordinate-descent", "saga"}) {
    SCOPED_TRACE(solver);
    EXPECT_TRUE(test::says(refused(solver, 0.0, one_class), {"class 1", "two classes"}));
    EXPECT_TRUE(test::says(refused(solver, 0.0, no_class), {"2", "class"}));
    EXPECT_TRUE(test::says(refused(solver, 0.0, no_number), {"row 7, column 3", "nan", "finite"}));
  }
}

}  // namespace
}  // namespace levin::row_solvers_training_test
