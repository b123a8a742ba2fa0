// Solvers of rows that are streamed: they find what they find for the same rows in memory.
#include "models/support.h"

#include <fmt/format.h>

#include <levin/datamodules/sparse.h>
#include <levin/datamodules/stream.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression_cv.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/logistic_regression_path.h>
#include <levin/models/many_regressions.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::streamed_solvers_test {
namespace {

/// 120 rows of 6 features with three digits after the point, a third of which are 0, and two
/// classes.
struct Rows120 {
  torch::Tensor x;
  torch::Tensor y;
  Rows120() {
    torch::manual_seed(8);
    const auto digits = torch::randint(-2000, 2000, {120, 6}, torch::kLong) *
                        torch::randint(0, 3, {120, 6}, torch::kLong).ne(0);
    x = (digits.to(torch::kDouble) / 1000.0).to(torch::kFloat);
    y = (x.mm(torch::randn({6, 1})) + torch::randn({120, 1})).gt(0.0).select(1, 0).to(torch::kLong);
  }
  std::string csv() const {
    std::string text;
    for (int64_t i = 0; i < 120; ++i) {
      for (int64_t j = 0; j < 6; ++j) text += fmt::format("{:.3f},", x[i][j].item<float>());
      text += fmt::format("{}\n", y[i].item<int64_t>());
    }
    return text;
  }
  std::string libsvm() const {
    std::string text;
    for (int64_t i = 0; i < 120; ++i) {
      text += fmt::format("{}", y[i].item<int64_t>());
      for (int64_t j = 0; j < 6; ++j) {
        const auto number = x[i][j].item<float>();
        if (number != 0.0F) text += fmt::format(" {}:{:.3f}", j + 1, number);
      }
      text += "\n";
    }
    return text;
  }
};

class RowsInMemory final : public DataModule {
 public:
  explicit RowsInMemory(const torch::Tensor& target)
      : data_(std::make_shared<TensorDataset>(Rows120().x, target)) {}
  DataLoaders train_dataloader() override { return DataLoader(data_, {.batch_size = 16}); }

 private:
  std::shared_ptr<TensorDataset> data_;
};

/// What a fit found.
struct Found {
  double objective = 0.0;
  StateDict state{};
};

Found fit(Module& model, DataModule& data, const std::string& root) {
  model.to(torch::kDouble);
  Trainer trainer({.accelerator = "cpu", .max_epochs = 500, .default_root_dir = root});
  const auto history = trainer.fit(model, data);
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
  return {history.last("objective"), model.state_dict().clone()};
}

void expect_same(const Found& found, const Found& expected) {
  EXPECT_NEAR(found.objective, expected.objective, 1e-10 * expected.objective);
  ASSERT_EQ(found.state.tensors.size(), expected.state.tensors.size());
  for (const auto& [name, tensor] : expected.state.tensors) {
    const auto gap = (tensor - found.state.tensor(name)).abs().nan_to_num().max().item<double>();
    EXPECT_LE(gap, 1e-6) << name;
    EXPECT_TRUE(torch::equal(tensor.isnan(), found.state.tensor(name).isnan())) << name;
  }
}

class StreamedSolvers : public ::testing::Test {
 protected:
  StreamedSolvers() {
    std::ofstream(folder_ / "rows.csv") << rows_.csv();
    std::ofstream(folder_ / "rows.svm") << rows_.libsvm();
  }
  StreamDataModule dense(const std::string& target_type) const {
    return StreamDataModule({.train = {(folder_ / "rows.csv").string()},
                             .header = "false",
                             .target_type = target_type,
                             .batch_size = 16});
  }
  /// Text whose length isn't known before its end.
  SparseDataModule sparse(const std::string& target_type) const {
    return SparseDataModule({.train = {(folder_ / "rows.svm").string()},
                             .columns = 6,
                             .zero_based = false,
                             .target_type = target_type,
                             .stream = true,
                             .batch_size = 16});
  }
  /// Trains models that `make` makes on the rows in memory and on both streams.
  template <class Make>
  void expect_found_in_streams(const Make& make, bool has_values = false) const {
    const std::string root = folder_.string();
    auto in_memory = make();
    RowsInMemory memory(has_values ? rows_.y.to(torch::kFloat) : rows_.y);
    const auto expected = fit(in_memory, memory, root);
    const std::string type = has_values ? "value" : "class";
    auto from_csv = make();
    auto csv = dense(type);
    expect_same(fit(from_csv, csv, root), expected);
    auto from_text = make();
    auto text = sparse(type);
    expect_same(fit(from_text, text, root), expected);
  }

  Rows120 rows_;
  test::TemporaryFolder folder_;
};

TEST_F(StreamedSolvers, that_need_sums_over_all_rows_find_the_optimum) {
  for (const char* solver : {"lbfgs", "newton-cg", "trust-region", "newton-cholesky"}) {
    SCOPED_TRACE(solver);
    expect_found_in_streams([&] {
      return LogisticRegression(
          {.num_classes = 2, .l2_strength = 0.01, .solver = solver, .tol = 1e-9});
    });
  }
  SCOPED_TRACE("owl-qn");
  expect_found_in_streams([] {
    return LogisticRegression({.num_classes = 2,
                               .l1_strength = 0.01,
                               .l2_strength = 0.01,
                               .solver = "auto",
                               .tol = 1e-9});
  });
}

TEST_F(StreamedSolvers, that_keep_copies_of_the_rows_are_refused_by_name) {
  for (const char* solver : {"coordinate-descent", "sag", "saga", "dual-coordinate-descent"}) {
    LogisticRegression model({.num_classes = 2, .l2_strength = 0.01, .solver = solver});
    auto data = dense("class");
    const auto message = test::message_of<ConfigError>([&] { fit(model, data, folder_.string()); });
    EXPECT_TRUE(test::says(message, {solver, "a stream", "lbfgs"})) << message;
  }
}

TEST_F(StreamedSolvers, follow_a_regularisation_path) {
  for (const double ratio : {0.0, 0.5}) {
    expect_found_in_streams([&] {
      return LogisticRegressionPath(
          {.num_classes = 2, .Cs = {0.05, 0.5, 5.0}, .l1_ratio = ratio, .tol = 1e-9});
    });
  }
}

TEST_F(StreamedSolvers, choose_a_penalty_by_cross_validation) {
  expect_found_in_streams([] {
    return LogisticRegressionCV({.num_classes = 2,
                                 .Cs = {0.01, 0.1, 1.0},
                                 .l1_ratios = {0.0, 0.5},
                                 .cv = 3,
                                 .fold_seed = 4,
                                 .scoring = "neg_log_loss",
                                 .tol = 1e-9});
  });
  expect_found_in_streams([] { return LinearRegressionCV({.num_alphas = 20, .cv = 3}); }, true);
}

TEST_F(StreamedSolvers, take_newton_steps_of_many_regressions_in_lockstep) {
  for (const double ratio : {0.0, 0.5}) {
    expect_found_in_streams([&] {
      return ManyRegressions({.C = {0.1, 1.0, 10.0}, .l1_ratio = ratio, .tol = 1e-9});
    });
  }
}

}  // namespace
}  // namespace levin::streamed_solvers_test
