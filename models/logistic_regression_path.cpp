#include <levin/models/logistic_regression_path.h>

#include <limits>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/penalty_checks.h>

namespace levin {
namespace {

void check_path_options(const LogisticRegressionPathOptions& options) {
  if (options.num_Cs < 1) {
    throw ConfigError::invalid_value("num_Cs", std::to_string(options.num_Cs),
                                     "must be at least 1");
  }
  check_l1_ratio("l1_ratio", options.l1_ratio);
  check_all_positive("Cs", options.Cs);
}

LogisticRegressionOptions base_options(const LogisticRegressionPathOptions& options) {
  return {.in_features = options.in_features,
          .num_classes = options.num_classes,
          .bias = options.bias,
          .loss = options.loss,
          .multi_class = options.multi_class,
          .class_weight = options.class_weight,
          .metrics = options.metrics,
          .solver = options.solver,
          .tol = options.tol,
          .max_iter = options.max_iter};
}

}  // namespace

Fields describe(LogisticRegressionPathOptions& o) {
  return fields_of<LogisticRegressionPathOptions>({
      model_option("in_features", &o.in_features),
      model_option("num_classes", &o.num_classes),
      {"bias", &o.bias, "whether each logit has a bias"},
      model_option("loss", &o.loss),
      model_option("multi_class", &o.multi_class),
      model_option("class_weight", &o.class_weight),
      model_option("metrics", &o.metrics),
      {"Cs", &o.Cs, "the values of C; empty: num_Cs from 1e-4 to 1e4"},
      {"num_Cs", &o.num_Cs, "how many values of C there are if Cs is empty"},
      {"l1_ratio", &o.l1_ratio, "share of the L1 penalty, from 0 to 1"},
      {"solver", &o.solver, "a solver's name, or auto"},
      model_option("tol", &o.tol),
      {"max_iter", &o.max_iter, "the most iterations of the solver for each C"},
  });
}

LogisticRegressionPath::LogisticRegressionPath(LogisticRegressionPathOptions options,
                                               const OptimizerList& optimizers)
    : LogisticRegression(base_options(options), optimizers), options_(std::move(options)) {
  check_path_options(options_);
  if (options_.Cs.empty()) options_.Cs = log_spaced(1e-4, 1e4, options_.num_Cs);
  make_buffers();
}

/// Makes the buffers, unless they are there or the layer isn't.
void LogisticRegressionPath::make_buffers() {
  const auto parameters = named_parameters();
  const auto* weight = parameters.find("linear.weight");
  if (coefs_.defined() || weight == nullptr) return;
  const auto count = std::ssize(options_.Cs);
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  const auto options = at::TensorOptions(at::kDouble);
  coefs_ = register_buffer("coefs", at::zeros({count, weight->size(0), weight->size(1)}, options));
  intercepts_ = register_buffer("intercepts", at::zeros({count, weight->size(0)}, options));
  objectives_ = register_buffer("objectives", at::full({count}, nan, options));
  val_losses_ = register_buffer("val_losses", at::full({count}, nan, options));
  chosen_ = register_buffer("chosen_C", at::zeros({1}, options));
}

std::optional<double> LogisticRegressionPath::C() const {
  const double c = chosen_.defined() ? chosen_.item<double>() : 0.0;
  return c > 0.0 ? std::optional<double>(c) : std::nullopt;
}

void LogisticRegressionPath::prepare(const TrainingSet& train) {
  LogisticRegression::prepare(train);
  make_buffers();
  coefs_.zero_();
  intercepts_.zero_();
  objectives_.fill_(std::numeric_limits<double>::quiet_NaN());
  val_losses_.fill_(std::numeric_limits<double>::quiet_NaN());
  chosen_.zero_();
}

void LogisticRegressionPath::prepare_like(const Value& settings) {
  LogisticRegression::prepare_like(settings);
  make_buffers();
}

void LogisticRegressionPath::select(int64_t number) {
  if (!coefs_.defined()) refuse_without_sizes("in_features and num_classes");
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  parameters["linear.weight"].copy_(coefs_[number]);
  if (auto* bias = parameters.find("linear.bias")) bias->copy_(intercepts_[number]);
  chosen_.fill_(options_.Cs[static_cast<size_t>(number)]);
}

void LogisticRegressionPath::on_validation_epoch_end(Run& run) {
  LogisticRegression::on_validation_epoch_end(run);
  is_validated_ = !run.progress().sanity_checking();
}

/// Keeps the validation loss of the C of this epoch, and chooses after the last one.
void LogisticRegressionPath::on_train_epoch_end(Run& run) {
  LogisticRegression::on_train_epoch_end(run);
  const auto done = objectives_.isnan().logical_not().sum().item<int64_t>();
  if (done == 0) return;
  if (std::exchange(is_validated_, false)) {
    val_losses_[done - 1].fill_(run.metrics().at("val_loss"));
  }
  if (done < std::ssize(options_.Cs)) return;
  const auto is_known = val_losses_.isnan().logical_not();
  if (!is_known.any().item<bool>()) return select(done - 1);
  const auto losses = at::where(is_known, val_losses_, std::numeric_limits<double>::infinity());
  select(losses.argmin().item<int64_t>());
}

std::unique_ptr<Objective> LogisticRegressionPath::make_objective(
    RowSource& rows, const std::vector<torch::Tensor>& parameters) const {
  PathPlan plan;
  plan.loss = loss_of_rows();
  plan.Cs = options_.Cs;
  plan.path = {.l1_ratio = options_.l1_ratio,
               .tol = options_.tol,
               .max_iter = options_.max_iter,
               .solver = options_.solver};
  plan.weights = coefs_;
  plan.biases = intercepts_;
  plan.objectives = objectives_;
  return std::make_unique<PathObjective>(rows, std::move(plan), parameters);
}

Optimizers LogisticRegressionPath::configure_optimizers() {
  return PathSolver(parameters(), options_.tol, std::ssize(options_.Cs));
}

Value LogisticRegressionPath::hyper_parameters() const {
  auto options = options_;
  const auto own = LogisticRegression::hyper_parameters();
  options.in_features = own.at("in_features").as_int();
  options.num_classes = own.at("num_classes").as_int();
  return to_value(describe(options));
}

}  // namespace levin
