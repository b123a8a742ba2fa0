#include <levin/models/logistic_regression_cv.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/penalty_checks.h>

namespace levin {
namespace {

void check_cv_options(const LogisticRegressionCVOptions& options) {
  const auto refuse_below = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, std::to_string(value),
                                     fmt::format("must be at least {}", least));
  };
  refuse_below("num_Cs", options.num_Cs, 1);
  refuse_below("cv", options.cv, 2);
  if (options.scoring != "accuracy" && options.scoring != "neg_log_loss") {
    throw ConfigError::unknown_name("scoring", options.scoring, {"accuracy", "neg_log_loss"});
  }
  check_l1_ratio("l1_ratio", options.l1_ratio);
  for (const double ratio : options.l1_ratios) check_l1_ratio("l1_ratios", ratio);
  if (options.l1_ratio != 0.0 && !options.l1_ratios.empty()) {
    throw ConfigError::conflict("both l1_ratio and l1_ratios",
                                "both say what the share of the L1 penalty is; give one of them");
  }
  check_all_positive("Cs", options.Cs);
}

LogisticRegressionOptions options_of(const LogisticRegressionCVOptions& options) {
  return {.in_features = options.in_features,
          .num_classes = options.num_classes,
          .bias = options.bias,
          .loss = options.loss,
          .class_weight = options.class_weight,
          .solver = options.solver,
          .tol = options.tol,
          .max_iter = options.max_iter};
}

}  // namespace

Fields describe(LogisticRegressionCVOptions& o) {
  return fields_of<LogisticRegressionCVOptions>({
      model_option("in_features", &o.in_features),
      model_option("num_classes", &o.num_classes),
      {"bias", &o.bias, "whether each logit has a bias"},
      model_option("loss", &o.loss),
      model_option("class_weight", &o.class_weight),
      {"Cs", &o.Cs, "the values of C that are tried; empty: num_Cs from 1e-4 to 1e4"},
      {"num_Cs", &o.num_Cs, "how many values of C are tried if Cs is empty"},
      {"l1_ratio", &o.l1_ratio, "share of the L1 penalty, from 0 to 1"},
      {"l1_ratios", &o.l1_ratios, "several such shares, each tried with each C"},
      {"cv", &o.cv, "the number of folds"},
      {"fold_seed", &o.fold_seed, "deals out rows to folds at random; null: in their order"},
      {"scoring", &o.scoring, "what C is chosen by: accuracy or neg_log_loss"},
      {"solver", &o.solver, "a solver's name, or auto"},
      model_option("tol", &o.tol),
      {"max_iter", &o.max_iter, "the most iterations of the solver for each C"},
  });
}

LogisticRegressionCV::LogisticRegressionCV(LogisticRegressionCVOptions options,
                                           const OptimizerList& optimizers)
    : LogisticRegression(options_of(options), optimizers), options_(std::move(options)) {
  check_cv_options(options_);
  if (options_.Cs.empty()) options_.Cs = log_spaced(1e-4, 1e4, options_.num_Cs);
  const auto tried = std::ssize(options_.Cs) * std::max<int64_t>(std::ssize(options_.l1_ratios), 1);
  scores_ = register_buffer("scores", at::zeros({options_.cv, tried}, at::kDouble));
  chosen_ = register_buffer("chosen", at::zeros({2}, at::kDouble));
}

std::optional<double> LogisticRegressionCV::C() const {
  const double chosen = chosen_[0].item<double>();
  return chosen > 0.0 ? std::optional<double>(chosen) : std::nullopt;
}

std::optional<double> LogisticRegressionCV::l1_ratio() const {
  return C() ? std::optional<double>(chosen_[1].item<double>()) : std::nullopt;
}

void LogisticRegressionCV::prepare(const TrainingSet& train) {
  LogisticRegression::prepare(train);
  scores_.zero_();
  chosen_.zero_();
  const auto labels = train.values("target");
  if (labels.defined()) stratified_folds(labels, options_.cv);  // refuses classes of too few rows
}

std::unique_ptr<Objective> LogisticRegressionCV::make_objective(
    RowSource& rows, const std::vector<torch::Tensor>& parameters) const {
  CrossValidationPlan plan;
  plan.loss = loss_of_rows();
  plan.Cs = options_.Cs;
  plan.l1_ratios = options_.l1_ratios;
  if (plan.l1_ratios.empty()) plan.l1_ratios = {options_.l1_ratio};
  plan.path = {.tol = options_.tol, .max_iter = options_.max_iter, .solver = options_.solver};
  plan.folds = options_.cv;
  plan.fold_seed = options_.fold_seed;
  plan.scoring = options_.scoring;
  plan.scores = scores_;
  plan.chosen = chosen_;
  return std::make_unique<CrossValidationObjective>(rows, std::move(plan), parameters);
}

Optimizers LogisticRegressionCV::configure_optimizers() {
  return CrossValidation(parameters(), options_.tol, options_.cv);
}

Value LogisticRegressionCV::hyper_parameters() const {
  auto options = options_;
  const auto own = LogisticRegression::hyper_parameters();
  options.in_features = own.at("in_features").as_int();
  options.num_classes = own.at("num_classes").as_int();
  return to_value(describe(options));
}

}  // namespace levin
