#include <levin/models/linear_regression_cv.h>

#include <algorithm>
#include <functional>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/penalty_checks.h>

namespace levin {
namespace {

void check_alphas(const LinearRegressionCVOptions& options) {
  check_all_positive("alphas", options.alphas);
  if (options.num_alphas < 1) {
    throw ConfigError::invalid_value("num_alphas", std::to_string(options.num_alphas),
                                     "must be at least 1");
  }
  if (options.eps > 0.0 && options.eps < 1.0) return;
  throw ConfigError::invalid_value("eps", fmt::format("{}", options.eps),
                                   "must be above 0 and below 1");
}

void check_regression_cv_options(const LinearRegressionCVOptions& options) {
  const bool is_ridge = options.penalty == "ridge";
  if (!is_ridge && options.penalty != "lasso" && options.penalty != "elastic-net") {
    throw ConfigError::unknown_name("penalty", options.penalty, {"lasso", "elastic-net", "ridge"});
  }
  if (!options.l1_ratios.empty() && options.penalty != "elastic-net") {
    throw ConfigError::conflict(fmt::format("l1_ratios with penalty = {}", options.penalty),
                                "only an elastic net has them; use penalty = elastic-net");
  }
  for (const double ratio : options.l1_ratios) {
    if (ratio > 0.0 && ratio <= 1.0) continue;
    throw ConfigError::invalid_value(
        "l1_ratios", fmt::format("{}", ratio),
        "each must be above 0 and at most 1; without an L1 penalty, use penalty = ridge");
  }
  check_alphas(options);
  if (options.cv >= 2 || (options.cv == 0 && is_ridge)) return;
  throw ConfigError::invalid_value(
      "cv", std::to_string(options.cv),
      "must be at least 2; 0, which leaves out single rows, is possible for penalty = ridge");
}

/// The options with those that follow from others.
LinearRegressionCVOptions completed_cv_options(LinearRegressionCVOptions options) {
  check_regression_cv_options(options);
  const bool is_elastic_net = options.penalty == "elastic-net";
  if (is_elastic_net && options.l1_ratios.empty()) options.l1_ratios = {0.5};
  if (options.penalty == "ridge" && options.alphas.empty()) options.alphas = {0.1, 1.0, 10.0};
  std::sort(options.alphas.begin(), options.alphas.end(), std::greater<>());
  return options;
}

}  // namespace

Fields describe(LinearRegressionCVOptions& o) {
  return fields_of<LinearRegressionCVOptions>({
      model_option("in_features", &o.in_features),
      {"bias", &o.bias, "whether the output has a bias"},
      {"penalty", &o.penalty, "lasso, elastic-net or ridge, with scikit-learn's alpha"},
      {"l1_ratios", &o.l1_ratios, "shares of the L1 penalty that an elastic net tries; empty: 0.5"},
      {"alphas", &o.alphas, "the strengths that are tried; empty: num_alphas that suit the data"},
      {"num_alphas", &o.num_alphas, "how many strengths are tried if alphas is empty"},
      {"eps", &o.eps, "the least of these strengths, as a share of the largest"},
      {"cv", &o.cv, "the number of folds; 0: each row is left out once (ridge)"},
      {"fold_seed", &o.fold_seed, "deals out rows to folds at random; null: in their order"},
      {"tol", &o.tol, "the fit has converged if no entry of the gradient is larger"},
  });
}

LinearRegressionCV::LinearRegressionCV(LinearRegressionCVOptions options,
                                       const OptimizerList& optimizers)
    : LinearRegression(
          {.in_features = options.in_features, .out_features = 1, .bias = options.bias},
          optimizers),
      options_(completed_cv_options(std::move(options))) {
  const auto ratios = std::max<int64_t>(std::ssize(options_.l1_ratios), 1);
  const auto count = options_.alphas.empty() ? options_.num_alphas : std::ssize(options_.alphas);
  alphas_ = register_buffer("alphas", at::zeros({ratios, count}, at::kDouble));
  mse_path_ = register_buffer(
      "mse_path", at::zeros({ratios, count, std::max<int64_t>(options_.cv, 1)}, at::kDouble));
  chosen_ = register_buffer("chosen", at::zeros({2}, at::kDouble));
}

std::optional<double> LinearRegressionCV::alpha() const {
  const double alpha = chosen_[0].item<double>();
  return alpha > 0.0 ? std::optional<double>(alpha) : std::nullopt;
}

std::optional<double> LinearRegressionCV::l1_ratio() const {
  return alpha() ? std::optional<double>(chosen_[1].item<double>()) : std::nullopt;
}

void LinearRegressionCV::prepare(const TrainingSet& train) {
  LinearRegression::prepare(train);
  alphas_.zero_();
  mse_path_.zero_();
  chosen_.zero_();
}

std::unique_ptr<Objective> LinearRegressionCV::make_objective(
    RowSource& rows, const std::vector<torch::Tensor>& parameters) const {
  const auto named = named_parameters();
  const auto* bias = named.find("linear.bias");
  RegressionCVPlan plan;
  plan.loss.kind = LinearLoss::Kind::squared;
  plan.loss.weight = named["linear.weight"];
  if (bias != nullptr) plan.loss.bias = *bias;
  plan.is_ridge = options_.penalty == "ridge";
  if (!options_.l1_ratios.empty()) plan.l1_ratios = options_.l1_ratios;
  plan.alphas = options_.alphas;
  plan.num_alphas = options_.num_alphas;
  plan.eps = options_.eps;
  plan.folds = options_.cv;
  plan.fold_seed = options_.fold_seed;
  plan.tried = alphas_;
  plan.errors = mse_path_;
  plan.chosen = chosen_;
  return std::make_unique<RegressionCVObjective>(rows, std::move(plan), parameters);
}

Optimizers LinearRegressionCV::configure_optimizers() {
  return CrossValidation(parameters(), options_.tol, std::max<int64_t>(options_.cv, 1));
}

Value LinearRegressionCV::hyper_parameters() const {
  auto options = options_;
  options.in_features = LinearRegression::hyper_parameters().at("in_features").as_int();
  return to_value(describe(options));
}

}  // namespace levin
