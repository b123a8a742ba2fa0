// Fits whose optimizer is a solver: an epoch is one iteration over all rows.
#include "framework/support.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

#include "framework/solvers/solver_cases.h"

namespace levin::solver_fit_test {
namespace {

using test::PointsModule;
using test::same_bits;
using test::TemporaryFolder;

LogisticRegressionOptions options(const std::string& solver, double tol = 1e-9) {
  return {.in_features = 4,
          .num_classes = 3,
          .l2_strength = 1e-3,
          .solver = solver,
          .tol = tol,
          .max_iter = 500};
}

TrainerOptions quiet(const std::string& root, int64_t max_epochs = 500) {
  return {.accelerator = "cpu", .max_epochs = max_epochs, .default_root_dir = root};
}

/// The same model, but as one whose loss nothing is known of.
class Unknown : public LogisticRegression {
 public:
  using LogisticRegression::LogisticRegression;
};

torch::Tensor flat(const Module& module) {
  std::vector<torch::Tensor> all;
  for (const auto& parameter : module.parameters()) all.push_back(parameter.detach().flatten());
  return torch::cat(all);
}

TEST(SolverFit, ends_when_the_gradient_is_within_tol_and_logs_each_iteration) {
  const TemporaryFolder folder;
  PointsModule data(200, {.batch_size = 16, .shuffle = true});
  LogisticRegression model(options("newton-cg"));
  Trainer trainer(quiet(folder.path().string()));
  const auto history = trainer.fit(model, data);
  EXPECT_EQ(history.stop_reason.find("newton-cg: converged after"), 0U) << history.stop_reason;
  ASSERT_GT(history.epochs.size(), 2U);
  double before = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < history.epochs.size(); ++i) {
    const auto& metrics = history.epochs[i].metrics;
    EXPECT_LE(metrics.at("objective"), before) << i;
    before = metrics.at("objective");
    EXPECT_EQ(metrics.at("n_iter"), static_cast<double>(i + 1));
    EXPECT_EQ(metrics.count("val_loss"), 1U) << "validation runs in each epoch";
  }
  EXPECT_LE(history.epochs.back().metrics.at("gradient_norm"), 1e-9);
}

TEST(SolverFit, comes_to_the_same_however_the_rows_are_read) {
  const TemporaryFolder folder;
  const auto trained = [&](DataLoaderOptions loader, const LogisticRegressionOptions& chosen,
                           bool by_autograd = false) {
    seed_everything(2);
    std::unique_ptr<LogisticRegression> model;
    if (by_autograd) {
      model = std::make_unique<Unknown>(chosen);
    } else {
      model = std::make_unique<LogisticRegression>(chosen);
    }
    PointsModule data(200, std::move(loader));
    Trainer(quiet(folder.path().string())).fit(*model, data);
    return flat(*model);
  };
  const auto in_memory = trained({.batch_size = 16}, options("lbfgs"));
  EXPECT_GT(in_memory.abs().max().item<double>(), 0.1);
  const auto shuffled =
      trained({.batch_size = 7, .shuffle = true, .drop_last = true}, options("lbfgs"));
  EXPECT_TRUE(same_bits(shuffled, in_memory));
  const auto read = trained(
      {.batch_size = 7,
       .num_workers = 2,
       .transform = [](Batch& batch,
                       const TransformContext&) { batch.set("input", batch.input() * 1.0); }},
      options("lbfgs"));
  EXPECT_TRUE(torch::allclose(read, in_memory, 1e-5, 1e-6));
  for (const char* solver : {"lbfgs", "newton-cg", "trust-region"}) {
    auto by_autograd = trained({.batch_size = 32}, options(solver, 1e-5), true);
    // Nobody knows of this loss that it is the same if a number is added to all biases.
    const auto biases = by_autograd.slice(0, -3);
    biases.sub_(biases.mean());
    EXPECT_TRUE(torch::allclose(by_autograd, in_memory, 1e-2, 1e-2)) << solver;
  }
}

// Servers and load_module learn from it what rows look like.
TEST(SolverFit, says_in_its_checkpoint_what_the_module_takes_however_the_rows_are_read) {
  const TemporaryFolder folder;
  DataLoaderOptions read = {.batch_size = 7};
  read.transform = [](Batch& batch, const TransformContext&) {
    batch.set("input", batch.input().to(torch::kDouble));
  };
  for (const auto& [loader, dtype] :
       {std::pair{DataLoaderOptions{.batch_size = 16}, "float32"}, std::pair{read, "float64"}}) {
    PointsModule data(200, loader);
    LogisticRegression model(options("lbfgs"));
    if (dtype == std::string("float64")) model.to(torch::kDouble);
    Trainer trainer(quiet(folder.path().string(), 1));
    trainer.fit(model, data);
    trainer.save_checkpoint(folder / "solved.ckpt");
    const auto description = module_description(load_checkpoint(folder / "solved.ckpt"));
    ASSERT_TRUE(description && description->input) << dtype;
    EXPECT_EQ(description->input->shape, std::vector<int64_t>{4});
    EXPECT_EQ(description->input->dtype, dtype);
  }
}

TEST(SolverFit, trains_a_net_by_autograd) {
  const TemporaryFolder folder;
  seed_everything(1);
  PointsModule data(200, {.batch_size = 50});
  MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {8}, .optimizer = "lbfgs"});
  Trainer trainer(quiet(folder.path().string(), 30));
  const auto history = trainer.fit(model, data);
  EXPECT_LT(history.epochs.back().metrics.at("objective"),
            0.5 * history.epochs.front().metrics.at("objective"));
}

TEST(SolverFit, resumes_with_the_same_bits_after_any_iteration) {
  const TemporaryFolder folder;
  for (const char* solver : {"lbfgs", "newton-cg", "trust-region"}) {
    for (const bool by_autograd : {false, true}) {
      const auto make = [&]() -> std::unique_ptr<LogisticRegression> {
        seed_everything(3);
        if (by_autograd) return std::make_unique<Unknown>(options(solver, 1e-12));
        return std::make_unique<LogisticRegression>(options(solver, 1e-12));
      };
      const auto root = (folder.path() / solver).string();
      PointsModule data(150, {.batch_size = 32, .shuffle = true});
      const auto whole = make();
      Trainer(quiet(root, 5)).fit(*whole, data);
      for (const int64_t stop : {1, 3}) {
        const auto checkpoint = (folder.path() / "stop.ckpt").string();
        const auto first = make();
        Trainer begun(quiet(root, stop));
        begun.fit(*first, data);
        begun.save_checkpoint(checkpoint);
        const auto rest = make();
        Trainer(quiet(root, 5)).fit(*rest, data, checkpoint);
        EXPECT_TRUE(same_bits(flat(*rest), flat(*whole))) << solver << " " << stop;
      }
    }
  }
}

TEST(SolverFit, says_that_it_has_not_converged_and_what_to_do) {
  const TemporaryFolder folder;
  PointsModule data(200, {.batch_size = 16});
  LogisticRegression model(options("lbfgs", 1e-12));
  testing::internal::CaptureStderr();
  Trainer(quiet(folder.path().string(), 2)).fit(model, data);
  const auto text = testing::internal::GetCapturedStderr();
  for (const char* part : {"lbfgs has not converged", "after 2 iterations", "tol", "standardize"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST(SolverFit, refuses_options_that_are_about_batches) {
  const TemporaryFolder folder;
  PointsModule data(60, {.batch_size = 16});
  LogisticRegression model(options("lbfgs"));
  auto clipped = quiet(folder.path().string());
  clipped.gradient_clip_val = 1.0;
  EXPECT_THROW(Trainer(clipped).fit(model, data), ConfigError);
  auto accumulated = quiet(folder.path().string());
  accumulated.accumulate_grad_batches = 2;
  EXPECT_THROW(Trainer(accumulated).fit(model, data), ConfigError);
  EXPECT_THROW(LogisticRegression(options("SGD")), ConfigError);
  EXPECT_THROW(LogisticRegression(options("newton")), ConfigError);
  EXPECT_THROW(LogisticRegression(options("lbfgs", -1.0)), ConfigError);
}

TEST(SolverFit, an_optimizer_of_a_users_own_module_can_be_a_solver) {
  class Own : public test::Classifier {
   public:
    Optimizers configure_optimizers() override { return QuasiNewton(parameters(), {.tol = 1e-3}); }
  };
  const TemporaryFolder folder;
  seed_everything(1);
  PointsModule data(100, {.batch_size = 10});
  Own model;
  const auto history = Trainer(quiet(folder.path().string(), 200)).fit(model, data);
  EXPECT_EQ(history.stop_reason.find("lbfgs: converged"), 0U) << history.stop_reason;
}

TEST(SolverFit, the_solver_that_auto_picks_fits_the_problem) {
  const TemporaryFolder folder;
  PointsModule data(100, {.batch_size = 10});
  const auto picked = [&](LogisticRegressionOptions chosen) {
    LogisticRegression model(std::move(chosen));
    return model.configure_optimizers().entries().front().optimizer->name();
  };
  EXPECT_EQ(picked(options("auto")), "newton-cholesky");
  auto l1 = options("auto");
  l1.l1_strength = 0.1;
  EXPECT_NE(picked(l1), "newton-cholesky");
  auto large = options("auto");
  large.in_features = 5000;
  EXPECT_EQ(picked(large), "newton-cg");
  large.in_features = 1000;
  EXPECT_EQ(picked(large), "lbfgs");
}

}  // namespace
}  // namespace levin::solver_fit_test
