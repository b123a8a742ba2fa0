// Paths of C and cross-validation against scikit-learn's LogisticRegressionCV.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>

#include "framework/message_of.h"
#include "framework/solvers/solver_cases.h"

namespace levin::cross_validation_test {
namespace {

using test::message_of;

const Value& expected() {
  static const Value value = [] {
    std::stringstream text;
    text << std::ifstream(LEVIN_SOURCE_DIR "/tests/baselines/cross_validation.json").rdbuf();
    return Value::from_json(text.str());
  }();
  return value;
}

std::vector<double> numbers_of(const Value& list) {
  std::vector<double> numbers;
  for (const auto& number : list.as_array()) numbers.push_back(number.as_double());
  return numbers;
}

test::Table table_of(const std::string& data, bool standardized) {
  auto table = test::read_table(data == "iris"
                                    ? LEVIN_SOURCE_DIR "/datamodules/data/iris.csv"
                                    : LEVIN_SOURCE_DIR "/tests/baselines/solvers_" + data + ".csv");
  if (standardized) table.x = (table.x - table.x.mean(0)) / table.x.std(0, /*unbiased=*/false);
  return table;
}

torch::Tensor folds_of(const std::string& data) {
  return torch::tensor(numbers_of(expected().at("folds").at(data))).to(torch::kLong);
}

struct Found {
  CrossValidationPlan plan;
  std::string outcome;
  int64_t iterations = 0;
};

/// Runs a plan for one of the cases, and saves and loads everything after each iteration if
/// `resumes`.
Found cross_validate(const Value& it, const torch::Tensor& x, const torch::Tensor& y,
                     bool resumes) {
  const auto coefficients = test::matrix_of(it.at("coefficients"));
  const int64_t folds = it.at("cv").as_int();
  CrossValidationPlan plan{.loss = {.kind = coefficients.size(0) == 1 ? LinearLoss::Kind::logistic
                                                                      : LinearLoss::Kind::softmax,
                                    .weight = torch::zeros_like(coefficients),
                                    .bias = torch::zeros({coefficients.size(0)}, torch::kDouble)},
                           .Cs = numbers_of(it.at("Cs")),
                           .path = {.tol = 1e-10},
                           .folds = folds,
                           .scoring = it.at("scoring").as_string()};
  plan.scores = torch::zeros({folds, std::ssize(plan.Cs)}, torch::kDouble);
  plan.chosen = torch::zeros({2}, torch::kDouble);
  test::MemoryRows rows(x, y, 50);
  const std::vector<torch::Tensor> parameters{plan.loss.weight, plan.loss.bias};
  auto objective = std::make_unique<CrossValidationObjective>(rows, plan, parameters);
  auto solver = std::make_unique<CrossValidation>(parameters, 1e-8, folds);
  while (!solver->is_done()) {
    solver->iterate(*objective);
    if (!resumes || solver->is_done()) continue;
    const auto state = solver->state_dict().clone();
    plan.scores.zero_();
    objective = std::make_unique<CrossValidationObjective>(rows, plan, parameters);
    solver = std::make_unique<CrossValidation>(parameters, 1e-8, folds);
    solver->load_state_dict(state);
  }
  return {plan, solver->outcome(), solver->iterations()};
}

TEST(CrossValidation, deals_out_rows_as_scikit_learn_does) {
  for (const std::string data : {"iris", "wine", "breast_cancer"}) {
    const auto y = table_of(data, false).y;
    EXPECT_TRUE(torch::equal(stratified_folds(y, 5), folds_of(data))) << data;
  }
}

TEST(CrossValidation, deals_out_rows_at_random_in_the_same_shares) {
  const auto y = table_of("wine", false).y;
  const auto some = stratified_folds(y, 4, 7);
  EXPECT_TRUE(torch::equal(some, stratified_folds(y, 4, 7)));
  EXPECT_FALSE(torch::equal(some, stratified_folds(y, 4, 8)));
  for (int64_t k = 0; k < 3; ++k) {
    const auto own = torch::bincount(some.masked_select(y == k), {}, 4);
    EXPECT_LE(own.max().item<int64_t>() - own.min().item<int64_t>(), 1);
  }
  EXPECT_NE(message_of<ConfigError>([&] { stratified_folds(y, 60); }).find("60 folds"),
            std::string::npos);
}

TEST(CrossValidation, finds_the_scores_the_c_and_the_weights_of_scikit_learn) {
  for (const auto& it : expected().at("cases").as_array()) {
    const auto data = it.at("data").as_string();
    SCOPED_TRACE(data + " " + it.at("scoring").as_string());
    const auto table = table_of(data, it.at("standardized").as_bool());
    const auto found = cross_validate(it, table.x, table.y, /*resumes=*/false);
    EXPECT_EQ(found.outcome, "converged");
    EXPECT_EQ(found.iterations, it.at("cv").as_int() + 1);
    const auto scores = test::matrix_of(it.at("scores"));
    EXPECT_LE((found.plan.scores - scores).abs().max().item<double>(), 1e-6) << found.plan.scores;
    EXPECT_NEAR(found.plan.chosen[0].item<double>(), it.at("C").as_double(), 1e-9);
    const auto centred = [](const torch::Tensor& b) { return b.numel() > 1 ? b - b.mean() : b; };
    const auto intercepts = torch::tensor(numbers_of(it.at("intercepts")), torch::kDouble);
    const auto& loss = found.plan.loss;
    EXPECT_LE((loss.weight - test::matrix_of(it.at("coefficients"))).abs().max().item<double>(),
              1e-4);
    EXPECT_LE((centred(loss.bias) - centred(intercepts)).abs().max().item<double>(), 1e-4);
  }
}

TEST(CrossValidation, goes_on_from_a_saved_state_with_the_same_bits) {
  const auto& it = expected().at("cases").as_array().at(1);
  const auto table = table_of("wine", true);
  const auto straight = cross_validate(it, table.x, table.y, /*resumes=*/false);
  const auto resumed = cross_validate(it, table.x, table.y, /*resumes=*/true);
  EXPECT_TRUE(torch::equal(straight.plan.scores, resumed.plan.scores));
  EXPECT_TRUE(torch::equal(straight.plan.loss.weight, resumed.plan.loss.weight));
}

TEST(RegularizationPath, each_point_is_what_is_found_without_the_others) {
  const auto table = table_of("wine", true);
  test::MemoryRows rows(table.x, table.y);
  LinearLoss loss{.kind = LinearLoss::Kind::softmax,
                  .weight = torch::zeros({3, 13}, torch::kDouble),
                  .bias = torch::zeros({3}, torch::kDouble)};
  const auto Cs = log_spaced(0.01, 1.0, 5);
  EXPECT_NEAR(Cs[1], 0.0316227766, 1e-9);
  for (const double ratio : {0.0, 1.0}) {
    const PathOptions options{.l1_ratio = ratio, .tol = 1e-9};
    const auto path = regularization_path(rows, loss, Cs, options);
    int64_t iterations = 0;
    for (size_t i = 0; i < Cs.size(); ++i) {
      const auto alone = regularization_path(rows, loss, std::span(&Cs[i], 1), options).front();
      EXPECT_TRUE(path[i].has_converged);
      EXPECT_NEAR(path[i].objective, alone.objective, 1e-10);
      EXPECT_LE((path[i].weight - alone.weight).abs().max().item<double>(), 1e-5);
      iterations += alone.iterations - path[i].iterations;
    }
    EXPECT_GE(iterations, 0) << "warm starts should save iterations";
  }
  const std::vector<double> bad{-1.0};
  EXPECT_NE(message_of<ConfigError>([&] { regularization_path(rows, loss, bad, {}); }).find("C"),
            std::string::npos);
}

}  // namespace
}  // namespace levin::cross_validation_test
