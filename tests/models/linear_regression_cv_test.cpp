// LinearRegressionCV against scikit-learn's LassoCV, ElasticNetCV and RidgeCV.
#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/solvers/quadratic_descent.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression_cv.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::linear_regression_cv_test {
namespace {

/// The rows of tests/baselines/diabetes.csv, the target last.
torch::Tensor diabetes() {
  static const torch::Tensor read = [] {
    std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/diabetes.csv");
    std::vector<double> numbers;
    for (std::string line; std::getline(file, line);) {
      std::istringstream cells(line);
      for (std::string cell; std::getline(cells, cell, ',');) numbers.push_back(std::stod(cell));
    }
    return torch::tensor(numbers, torch::kDouble).view({-1, 11});
  }();
  return read;
}

class DiabetesData final : public DataModule {
 public:
  explicit DiabetesData(NamedTensors tensors)
      : data_(std::make_shared<TensorDataset>(std::move(tensors))) {}
  DataLoaders train_dataloader() override { return DataLoader(data_, {.batch_size = 100}); }
  DataLoaders val_dataloader() override { return DataLoader(data_, {.batch_size = 100}); }

 private:
  std::shared_ptr<TensorDataset> data_;
};

DiabetesData data_of(bool is_weighted, bool is_sparse = false) {
  const auto rows = diabetes();
  const auto x = rows.narrow(1, 0, 10).contiguous();
  NamedTensors tensors{{"input", is_sparse ? x.to(torch::kFloat).to_sparse_csr() : x},
                       {"target", rows.select(1, 10).contiguous()}};
  if (is_weighted) {
    tensors.emplace_back("weight", 1.0 + torch::arange(rows.size(0), torch::kDouble).remainder(3));
  }
  return DiabetesData(std::move(tensors));
}

LinearRegressionCVOptions options_of(const Value& it) {
  LinearRegressionCVOptions options{.bias = it.at("bias").as_bool(),
                                    .penalty = it.at("penalty").as_string(),
                                    .cv = it.at("cv").as_int(),
                                    .tol = 1e-6};
  if (!it.at("l1_ratios").is_null()) {
    for (const auto& ratio : it.at("l1_ratios").as_array()) {
      options.l1_ratios.push_back(ratio.as_double());
    }
  }
  const auto& alphas = it.at("alphas").as_array().front().as_array();
  if (it.at("places").as_array().back().as_int() == 99) return options;
  for (const auto& alpha : alphas) options.alphas.push_back(alpha.as_double());
  return options;
}

History fit(LinearRegressionCV& model, DataModule& data, int64_t max_epochs = 20,
            const std::string& save = {}, const std::string& from = {}) {
  const test::TemporaryFolder folder;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = max_epochs,
                   .num_sanity_val_steps = 0,
                   .default_root_dir = folder.string()});
  auto history = trainer.fit(model, data, from);
  if (!save.empty()) trainer.save_checkpoint(save);
  return history;
}

void expect_relative(const torch::Tensor& found, const torch::Tensor& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LE((found / expected - 1.0).abs().max().item<double>(), tolerance) << found << expected;
}

TEST(LinearRegressionCV, finds_the_strengths_the_errors_and_the_weights_of_scikit_learn) {
  for (const auto& it : test::baseline("regression_cv").at("cases").as_array()) {
    SCOPED_TRACE(it.at("penalty").as_string() + ", cv " + it.at("cv").to_json() +
                 (it.at("weighted").as_bool() ? ", weighted" : ""));
    LinearRegressionCV model(options_of(it));
    model.to(torch::kDouble);
    auto data = data_of(it.at("weighted").as_bool());
    const auto history = fit(model, data);
    EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
    const auto places = test::labels_of(it.at("places"));
    expect_relative(model.alphas().index_select(1, places), test::tensor_of(it.at("alphas")), 1e-9);
    const auto errors = test::tensor_of(it.at("mse_path"));
    expect_relative(model.mse_path().index_select(1, places), errors, 1e-6);
    ASSERT_TRUE(model.alpha());
    EXPECT_NEAR(*model.alpha() / it.at("alpha").as_double(), 1.0, 1e-9);
    if (!it.at("l1_ratio").is_null()) {
      EXPECT_EQ(*model.l1_ratio(), it.at("l1_ratio").as_double());
    }
    const auto weight = model.named_parameters()["linear.weight"].detach()[0];
    const auto expected = test::tensor_of(it.at("coefficients"));
    EXPECT_TENSORS_NEAR(weight, expected, 1e-4);
    EXPECT_TRUE(torch::equal(weight.eq(0), expected.eq(0)));
    if (!it.at("bias").as_bool()) continue;
    EXPECT_NEAR(model.named_parameters()["linear.bias"].item<double>(),
                it.at("intercept").as_double(), 1e-4);
  }
}

TEST(LinearRegressionCV, takes_sparse_rows_and_folds_at_random) {
  auto dense = data_of(false);
  auto sparse = data_of(false, /*is_sparse=*/true);
  const LinearRegressionCVOptions options{.num_alphas = 20, .cv = 3, .fold_seed = 1};
  LinearRegressionCV one(options);
  LinearRegressionCV same(options);
  fit(one, dense);
  fit(same, sparse);
  expect_relative(same.mse_path(), one.mse_path(), 1e-5);
  auto other_seed = options;
  other_seed.fold_seed = 2;
  LinearRegressionCV other(other_seed);
  fit(other, dense);
  EXPECT_GT((other.mse_path() - one.mse_path()).abs().max().item<double>(), 1.0);
}

TEST(LinearRegressionCV, goes_on_from_any_fold_with_the_same_bits) {
  const test::TemporaryFolder folder;
  const auto path = folder.string() + "/cv.ckpt";
  auto data = data_of(false);
  const LinearRegressionCVOptions options{.num_alphas = 10, .cv = 3};
  LinearRegressionCV whole(options);
  const auto history = fit(whole, data);
  EXPECT_EQ(history.epochs.size(), 4U);
  EXPECT_TRUE(std::isfinite(history.last("val_r2")));
  LinearRegressionCV first(options);
  fit(first, data, 2, path);
  EXPECT_FALSE(first.alpha());
  LinearRegressionCV second(options);
  fit(second, data, 20, {}, path);
  const auto state = second.state_dict();
  for (const auto& [name, tensor] : whole.state_dict().tensors) {
    EXPECT_TRUE(torch::equal(tensor, state.tensor(name))) << name;
  }
}

TEST(LinearRegressionCV, refuses_options_that_cannot_be) {
  const auto refusal = [](const LinearRegressionCVOptions& options) {
    return test::message_of<ConfigError>([&] { LinearRegressionCV model(options); });
  };
  EXPECT_NE(refusal({.penalty = "l1"}).find("elastic-net"), std::string::npos);
  EXPECT_NE(refusal({.l1_ratios = {0.5}}).find("penalty = elastic-net"), std::string::npos);
  EXPECT_NE(refusal({.penalty = "elastic-net", .l1_ratios = {0.0}}).find("penalty = ridge"),
            std::string::npos);
  EXPECT_NE(refusal({.alphas = {0.0}}).find("above 0"), std::string::npos);
  EXPECT_NE(refusal({.cv = 0}).find("penalty = ridge"), std::string::npos);
  EXPECT_NE(refusal({.eps = 1.0}).find("below 1"), std::string::npos);
  auto data = data_of(false);
  LinearRegressionCV model({.cv = 500});
  EXPECT_NE(test::message_of<ConfigError>([&] { fit(model, data); }).find("500 folds of 442"),
            std::string::npos);
}

TEST(QuadraticDescent, finds_the_minimum_of_variables_that_depend_on_each_other) {
  torch::manual_seed(2);
  const auto x =
      torch::randn({40, 1}, torch::kDouble) + 0.01 * torch::randn({40, 12}, torch::kDouble);
  const auto matrix = x.t().mm(x) / 40.0;
  const auto c = x.t().mv(torch::randn({40}, torch::kDouble)) / 40.0;
  for (const double strength : {0.0, 1e-4, 0.05, 10.0}) {
    auto w = torch::zeros({12}, torch::kDouble);
    auto slope = c.neg();
    const auto l1 = torch::full({12}, strength, torch::kDouble);
    EXPECT_LE(minimise_quadratic(matrix, l1, w, slope, 1e-12, 500), 1e-12) << strength;
    EXPECT_LE((slope - (matrix.mv(w) - c)).abs().max().item<double>(), 1e-9);
    const auto optimal = torch::where(w == 0.0, slope.abs().clamp_min(strength) - strength,
                                      (slope + strength * w.sign()).abs());
    EXPECT_LE(optimal.max().item<double>(), 1e-9) << strength << w;
    if (strength == 10.0) {
      EXPECT_EQ(w.count_nonzero().item<int64_t>(), 0);
    }
  }
}

}  // namespace
}  // namespace levin::linear_regression_cv_test
