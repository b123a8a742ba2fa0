// Fits by solvers reach scikit-learn's coefficients, with its penalties and its weights of rows and
// classes.
#include "models/support.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>

#include "framework/message_of.h"

namespace levin::solver_regression_test {
namespace {

using test::baseline;
using test::labels_of;
using test::message_of;
using test::says;
using test::tensor_of;

const Value& expected() { return baseline("regression"); }

constexpr const char* kSolvers[] = {
    "lbfgs", "newton-cg", "trust-region",           "newton-cholesky", "coordinate-descent",
    "sag",   "saga",      "dual-coordinate-descent"};

bool takes_l1(const std::string& solver) {
  return solver == "lbfgs" || solver == "coordinate-descent" || solver == "saga";
}

/// Fits in float64 by a solver of that name, to a small gradient.
template <class Model>
void fit(Model& model, const std::string& solver, const torch::Tensor& y, bool weighted) {
  model.to(torch::kDouble);
  ArrayDataModule data(tensor_of(expected().at("x")), y,
                       {.batch_size = 5,
                        .val_split = 0,
                        .test_split = 0,
                        .target_type = y.is_floating_point() ? "value" : "class",
                        .dtype = "float64"});
  if (weighted) data.set_weights(tensor_of(expected().at("weights")));
  Trainer trainer({.accelerator = "cpu", .max_epochs = 5000});
  trainer.set_optimizers([&](Module& module) -> Optimizers {
    return shipped_optimizers().make(solver, Value::Object{{"tol", 1e-9}, {"max_iter", 5000}},
                                     module.parameters());
  });
  const auto history = trainer.fit(model, data);
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
}

void expect_solution(const Module& model, const Value& expect) {
  const auto parameters = model.named_parameters();
  const auto weight = parameters["linear.weight"].detach();
  const auto coefficients = tensor_of(expect.at("coef")).view_as(weight);
  EXPECT_LE((weight - coefficients).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(torch::equal(weight == 0.0, coefficients == 0.0)) << weight << coefficients;
  const auto centred = [](torch::Tensor b) { return b.numel() > 1 ? b - b.mean() : b; };
  const auto bias = centred(parameters["linear.bias"].detach());
  const auto intercept = centred(tensor_of(expect.at("intercept")).view_as(bias));
  EXPECT_LE((bias - intercept).abs().max().item<double>(), 1e-6);
}

TEST(SolverRegression, finds_least_squares_ridge_lasso_and_elastic_net) {
  for (const auto& expect : expected().at("linear").as_array()) {
    const auto name = expect.at("estimator").as_string();
    const auto k = static_cast<double>(expect.at("outputs").as_int());
    const double alpha = expect.contains("alpha") ? expect.at("alpha").as_double() : 0.0;
    LinearRegressionOptions options;
    if (name == "Ridge") options.l2_strength = alpha / (24.0 * k);
    if (name == "Lasso") options.l1_strength = 2.0 * alpha / k;
    if (name == "ElasticNet") {
      const double ratio = expect.at("l1_ratio").as_double();
      options.l1_strength = 2.0 * alpha * ratio / k;
      options.l2_strength = alpha * (1.0 - ratio) / k;
    }
    const auto y = tensor_of(expected().at(k == 1.0 ? "y" : "y2"));
    for (const std::string solver : kSolvers) {
      const bool is_dual = solver == "dual-coordinate-descent";
      if (options.l1_strength > 0.0 && !takes_l1(solver)) continue;
      if (options.l2_strength == 0.0 && is_dual) continue;
      SCOPED_TRACE(name + " " + std::to_string(k) + " " + solver);
      LinearRegression model(options);
      fit(model, solver, y, /*weighted=*/false);
      expect_solution(model, expect);
    }
  }
}

TEST(SolverRegression, finds_the_logistic_regressions_of_c_and_l1_ratio) {
  for (const auto& expect : expected().at("logistic").as_array()) {
    const double ratio = expect.at("l1_ratio").as_double();
    const bool is_two = expect.at("classes").as_int() == 2;
    const auto y = labels_of(expected().at(is_two ? "two" : "labels"));
    for (const std::string solver : kSolvers) {
      if (ratio > 0.0 && !takes_l1(solver)) continue;
      if (!is_two && solver == "dual-coordinate-descent") continue;
      SCOPED_TRACE(expect.at("C").to_json() + " " + std::to_string(ratio) + " " + solver);
      LogisticRegression model({.C = expect.at("C").as_double(), .l1_ratio = ratio});
      fit(model, solver, y, /*weighted=*/false);
      expect_solution(model, expect);
    }
  }
}

TEST(SolverRegression, weighs_rows_and_classes_as_scikit_learn_does) {
  for (const auto& expect : expected().at("weights_logistic").as_array()) {
    const bool is_two = expect.at("classes").as_int() == 2;
    const auto y = labels_of(expected().at(is_two ? "two" : "labels"));
    LogisticRegressionOptions options{.C = expect.at("C").as_double()};
    for (const auto& field : describe(options)) {
      const Value& given = expect.at("class_weight");
      if (field.name == "class_weight" && !given.is_null()) field.set(given);
    }
    for (const std::string solver : {"newton-cg", "coordinate-descent"}) {
      SCOPED_TRACE(expect.at("class_weight").to_json() + " " + solver);
      LogisticRegression model(options);
      fit(model, solver, y, expect.at("weighted").as_bool());
      expect_solution(model, expect);
    }
  }
}

TEST(SolverRegression, features_are_divided_by_the_solvers_that_can) {
  const auto refusal = [](const LogisticRegressionOptions& options) {
    return message_of<ConfigError>([&] { LogisticRegression model(options); });
  };
  EXPECT_TRUE(says(refusal({.solver = "saga", .shard = "features"}),
                   {"shard = features", "saga", "lbfgs", "newton-cg", "trust-region"}));
  EXPECT_TRUE(says(refusal({.shard = "features"}), {"shard = features", "solver"}));
  EXPECT_TRUE(says(refusal({.solver = "auto", .shard = "columns"}), {"shard", "columns", "rows"}));
  const auto chosen = [](LogisticRegressionOptions options) {
    options.in_features = 3;
    options.num_classes = 2;
    options.solver = "auto";
    auto optimizers = LogisticRegression(options).configure_optimizers();
    return optimizers.entries().front().optimizer->name();
  };
  EXPECT_EQ(chosen({}), "newton-cholesky");
  EXPECT_EQ(chosen({.shard = "features"}), "lbfgs");
  EXPECT_EQ(chosen({.l1_strength = 0.1, .shard = "features"}), "coordinate-descent-or-lbfgs");
}

}  // namespace
}  // namespace levin::solver_regression_test
