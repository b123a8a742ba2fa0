#include <levin/models/logistic_regression.h>

#include <cmath>
#include <typeinfo>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/automatic_solver.h>
#include <levin/framework/solvers/penalty_checks.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/models/linear.h>
#include <levin/models/sparse_linear.h>

namespace levin {
namespace {

bool has_one_logit(const LogisticRegressionOptions& options) {
  return options.num_classes == 2 && options.loss != "softmax";
}

/// The logistic loss of each row for each class, [rows, classes].
torch::Tensor losses_against_rest(const torch::Tensor& outputs, const torch::Tensor& targets) {
  const auto logits = at_least_float32(outputs);
  const auto classes = at::arange(logits.size(1), targets.options());
  const auto is_own = targets.unsqueeze(1).eq(classes).to(logits.scalar_type());
  return at::binary_cross_entropy_with_logits(logits, is_own, {}, {}, at::Reduction::None);
}

void check_one_vs_rest(const LogisticRegressionOptions& options) {
  if (options.multi_class != "multinomial" && options.multi_class != "ovr") {
    throw ConfigError::unknown_name("multi_class", options.multi_class, {"multinomial", "ovr"});
  }
  if (options.multi_class != "ovr") return;
  if (options.loss == "softmax") {
    throw ConfigError::conflict("multi_class = ovr with loss = softmax",
                                "one class against the rest has the logistic loss; leave out loss, "
                                "or use multi_class = multinomial");
  }
  if (options.products == "bfloat16") {
    throw ConfigError::conflict("multi_class = ovr with products = bfloat16",
                                "only the softmax has rounded products; use products = float32");
  }
}

/// Checks the options that the base class doesn't check, as far as num_classes is known.
void check_loss(const LogisticRegressionOptions& options) {
  if (options.loss != "auto" && options.loss != "logistic" && options.loss != "softmax") {
    throw ConfigError::unknown_name("loss", options.loss, {"auto", "logistic", "softmax"});
  }
  check_one_vs_rest(options);
  if (options.loss == "logistic" && options.num_classes > 2 && options.multi_class != "ovr") {
    throw ConfigError::conflict(
        "loss = logistic with num_classes = " + std::to_string(options.num_classes),
        "the logistic loss is for two classes; use loss = softmax, or multi_class = ovr for one "
        "such loss a class");
  }
  if (options.products != "float32" && options.products != "bfloat16") {
    throw ConfigError::unknown_name("products", options.products, {"float32", "bfloat16"});
  }
  if (options.sparse_gradients && (options.l1_strength != 0.0 || options.l2_strength != 0.0)) {
    throw ConfigError::conflict(
        fmt::format("sparse_gradients = true with l1_strength = {} and l2_strength = {}",
                    options.l1_strength, options.l2_strength),
        "the gradient of a penalty has all columns; set both strengths to 0, or sparse_gradients "
        "to false");
  }
  if (options.shard != "rows" && options.shard != "features") {
    throw ConfigError::unknown_name("shard", options.shard, {"rows", "features"});
  }
  if (options.shard != "rows" && options.solver.empty()) {
    throw ConfigError::conflict(
        fmt::format("shard = {} without a solver", options.shard),
        "training on batches divides rows; set solver to auto, or leave out shard");
  }
  if (has_one_logit(options) && options.products == "bfloat16") {
    throw ConfigError::conflict("products = bfloat16 with the logistic loss",
                                "a single logit has no matrix products; use loss = softmax");
  }
}

void check_c(const LogisticRegressionOptions& options) {
  const auto text = [](double value) { return fmt::format("{}", value); };
  check_l1_ratio("l1_ratio", options.l1_ratio);
  if (!options.C) {
    if (options.l1_ratio == 0.0) return;
    throw ConfigError::conflict("l1_ratio = " + text(options.l1_ratio) + " without C",
                                "give C, or set l1_strength and l2_strength instead of l1_ratio");
  }
  if (!(*options.C > 0.0) || !std::isfinite(*options.C)) {
    throw ConfigError::invalid_value(
        "C", text(*options.C),
        "must be above 0 and finite; for no penalty, leave out C, l1_strength and l2_strength");
  }
  if (options.l1_strength == 0.0 && options.l2_strength == 0.0) return;
  throw ConfigError::conflict(
      fmt::format("C = {} with l1_strength = {} and l2_strength = {}", *options.C,
                  options.l1_strength, options.l2_strength),
      "both say how strong the penalties are; give C and l1_ratio, or the strengths");
}

}  // namespace

Fields describe(LogisticRegressionOptions& o) {
  return fields_of<LogisticRegressionOptions>({
      model_option("in_features", &o.in_features),
      model_option("num_classes", &o.num_classes),
      {"bias", &o.bias, "whether each logit has a bias"},
      model_option("learning_rate", &o.learning_rate),
      model_option("optimizer", &o.optimizer),
      model_option("l1_strength", &o.l1_strength),
      model_option("l2_strength", &o.l2_strength),
      model_option("loss", &o.loss),
      model_option("multi_class", &o.multi_class),
      {"products", &o.products, "numbers that steps of the softmax multiply: float32 or bfloat16"},
      {"C", &o.C, "scikit-learn's C, instead of the strengths; null: the strengths count"},
      {"l1_ratio", &o.l1_ratio, "share of the L1 penalty if C is given, from 0 to 1"},
      model_option("class_weight", &o.class_weight),
      model_option("metrics", &o.metrics),
      {"sparse_gradients", &o.sparse_gradients,
       "gradients from sparse rows have only the columns that occur (SGD, Adagrad)"},
      {"solver", &o.solver,
       "trains on all rows at once instead of batches: a solver's name, or auto"},
      model_option("tol", &o.tol),
      {"max_iter", &o.max_iter, "the most iterations of the solver"},
      {"shard", &o.shard, "what ranks divide: rows, or features (many more than rows)"},
  });
}

LogisticRegression::LogisticRegression(LogisticRegressionOptions options,
                                       const OptimizerList& optimizers)
    : Classifier({.num_classes = options.num_classes,
                  .learning_rate = options.learning_rate,
                  .optimizer = options.optimizer,
                  .l1_strength = options.l1_strength,
                  .l2_strength = options.l2_strength,
                  .class_weight = options.class_weight,
                  .metrics = options.metrics},
                 optimizers),
      options_(std::move(options)),
      in_features_("in_features", options_.in_features),
      optimizers_(optimizers) {
  check_loss(options_);
  check_c(options_);
  if (!options_.solver.empty() && options_.solver != "auto") {
    make_solver(options_.solver, {at::zeros({1})});  // refuses what is wrong with its settings
  }
  if (options_.C) expect_strengths();
  make_layer();
}

/// Makes the layer, unless it is there or its sizes aren't known.
void LogisticRegression::make_layer() {
  options_.in_features = in_features_.value();
  options_.num_classes = num_classes();
  if (linear_ || !in_features_.is_known() || num_classes() == 0) return;
  check_loss(options_);
  const int64_t logits = has_one_logit(options_) ? 1 : num_classes();
  auto options = torch::nn::LinearOptions(in_features_.value(), logits);
  linear_ = register_module("linear", torch::nn::Linear(options.bias(options_.bias)));
  linear_->to(parameter_type());
}

void LogisticRegression::prepare(const TrainingSet& train) {
  Classifier::prepare(train);
  if (!in_features_.is_given()) {
    in_features_.find(train.features().value_or(0), "set in_features to the features of a row");
  }
  make_layer();
  if (options_.C) set_strengths_by_c(train);
}

void LogisticRegression::set_strengths_by_c(const TrainingSet& train) {
  const auto rows = train.rows();
  if (!rows) {
    throw ConfigError::conflict(
        "C for training data of unknown length",
        "the penalties follow from C and the number of rows; set l2_strength = 1 / (2 C n) for "
        "about n rows instead of C");
  }
  const double scale = *options_.C * static_cast<double>(*rows) * mean_weight();
  set_strengths(options_.l1_ratio / scale, (1.0 - options_.l1_ratio) / (2.0 * scale));
}

void LogisticRegression::prepare_like(const Value& settings) {
  Classifier::prepare_like(settings);
  in_features_.take(settings);
  make_layer();
}

torch::Tensor LogisticRegression::forward(const torch::Tensor& input) {
  if (!linear_) refuse_without_sizes("in_features and num_classes");
  const auto x = flatten_for(linear_->weight, input);
  if (options_.sparse_gradients && x.layout() == at::kSparseCsr) {
    return sparse_linear(x, linear_->weight, linear_->bias, /*has_sparse_gradient=*/true);
  }
  return linear(x, linear_->weight, linear_->bias);
}

torch::Tensor LogisticRegression::row_losses(const torch::Tensor& logits,
                                             const torch::Tensor& targets) const {
  if (!is_one_vs_rest()) return Classifier::row_losses(logits, targets);
  return losses_against_rest(logits, targets).sum(1);
}

torch::Tensor LogisticRegression::loss(const torch::Tensor& logits,
                                       const torch::Tensor& targets) const {
  if (!is_one_vs_rest()) return Classifier::loss(logits, targets);
  return losses_against_rest(logits, targets).sum(1).mean();
}

/// The softmax of the sigmoids' logarithms is the sigmoids divided by their sum; in float64, so
/// that large logits keep their order.
torch::Tensor LogisticRegression::probability_logits(const torch::Tensor& logits) const {
  return is_one_vs_rest() ? at::log_sigmoid(logits.to(at::kDouble)) : logits;
}

torch::Tensor LogisticRegression::balanced_weights(const torch::Tensor& sums) const {
  if (!is_one_vs_rest()) return Classifier::balanced_weights(sums);
  const auto total = sums.sum();
  const auto has_both = sums.gt(0).logical_and(sums.lt(total));
  const auto own = at::where(has_both, total / (2.0 * sums), 1.0);
  const auto rest = at::where(has_both, total / (2.0 * (total - sums)), 1.0);
  auto weights = rest.expand({sums.numel(), sums.numel()}).contiguous();
  weights.diagonal().copy_(own);
  return weights;
}

void LogisticRegression::on_fit_start(Run& run) {
  Classifier::on_fit_start(run);
  if (!options_.sparse_gradients || run.ranks().size() == 1) return;
  throw ConfigError::conflict(
      fmt::format("sparse_gradients = true with {} ranks", run.ranks().size()),
      "sparse gradients of linear models aren't summed over ranks; train in one process, or set "
      "sparse_gradients to false");
}

bool LogisticRegression::has_closed_form() const {
  return typeid(*this) == typeid(LogisticRegression);
}

bool LogisticRegression::capturable() const { return typeid(*this) == typeid(LogisticRegression); }

bool LogisticRegression::reads_rows_in_place() const {
  if (!linear_ || !has_closed_form() || class_weights().defined()) return false;
  if (linear_->weight.size(0) == 1 || is_one_vs_rest()) return false;
  if (is_divided(linear_->weight)) return false;
  return has_bfloat16_products() ? Bfloat16SoftmaxLoss::can_learn(linear_->weight, linear_->bias)
                                 : SoftmaxLoss::can_learn(linear_->weight, linear_->bias);
}

torch::Tensor LogisticRegression::batch_loss(const Batch& batch, const torch::Tensor& targets) {
  if (linear_ && is_one_vs_rest() && has_weights(batch)) {
    const auto losses = losses_against_rest(forward(batch.input()), targets);
    const auto weights = weights_of(batch, targets);
    const auto by_output = weights.dim() == 2 ? weights : weights.unsqueeze(1);
    return (losses * by_output.to(losses.scalar_type())).sum(1).mean() / mean_weight();
  }
  if (!linear_ || has_weights(batch) || is_one_vs_rest() || is_divided(linear_->weight)) {
    return Classifier::batch_loss(batch, targets);
  }
  const auto& weight = linear_->weight;
  if (has_closed_form() && weight.is_cuda() && !options_.sparse_gradients) {
    const auto& rows = batch.input_rows();
    if (SparseClassLoss::can_learn(rows, targets, weight, linear_->bias)) {
      return sparse_loss_(rows, targets, weight, linear_->bias);
    }
  }
  if (has_closed_form() && has_bfloat16_products()) {
    const auto& rows = batch.input_rows();
    if (Bfloat16SoftmaxLoss::can_learn(rows, targets, weight, linear_->bias)) {
      return bfloat16_softmax_loss_(rows, targets, weight, linear_->bias);
    }
  } else if (has_closed_form() && weight.size(0) > 1 && targets.device() == weight.device()) {
    const auto rows = SoftmaxLoss::view(batch.input_rows(), weight, linear_->bias);
    if (rows && targets.numel() == rows->count) {
      return softmax_loss_(*rows, targets, weight, linear_->bias);
    }
  }
  return Classifier::batch_loss(batch, targets);
}

void LogisticRegression::backward(const torch::Tensor& loss) {
  if (softmax_loss_.backward(loss) || bfloat16_softmax_loss_.backward(loss)) return;
  if (sparse_loss_.backward(loss)) return;
  Classifier::backward(loss);
}

LinearLoss LogisticRegression::loss_of_rows() const {
  return {.kind = linear_->weight.size(0) == 1 ? LinearLoss::Kind::logistic
                  : is_one_vs_rest()           ? LinearLoss::Kind::one_vs_rest
                                               : LinearLoss::Kind::softmax,
          .weight = linear_->weight,
          .bias = linear_->bias,
          .l1_strength = l1_strength(),
          .l2_strength = l2_strength(),
          .class_weight = class_weights(),
          .mean_weight = mean_weight()};
}

std::optional<LinearLoss> LogisticRegression::linear_loss() const {
  if (!has_closed_form() || !linear_) return {};
  return loss_of_rows();
}

std::string LogisticRegression::chosen_solver() const {
  if (options_.solver != "auto") return options_.solver;
  return automatic_solver(l1_strength() > 0.0, num_parameters(), in_features_.value(),
                          options_.shard == "features");
}

std::unique_ptr<Optimizer> LogisticRegression::make_solver(
    const std::string& name, std::vector<torch::Tensor> parameters) const {
  const auto& entry = optimizers_.at(name);
  if (!is_solver(entry)) {
    throw ConfigError::invalid_value(
        "solver", name,
        "must be a solver, which trains on all rows at once; an optimizer for batches is given as "
        "`optimizer`");
  }
  Value settings = Value::Object{{"tol", options_.tol}, {"max_iter", options_.max_iter}};
  if (options_.shard != "rows") {
    if (!to_value(entry.draft().fields).contains("shard")) {
      throw ConfigError::conflict(
          fmt::format("shard = {} with solver = {}, whose steps need all features of a row",
                      options_.shard, name),
          "use lbfgs, newton-cg, trust-region or auto, or set shard to rows");
    }
    settings["shard"] = options_.shard;
  }
  return entry.make(settings, std::move(parameters));
}

Optimizers LogisticRegression::configure_optimizers() {
  return options_.solver.empty() ? Classifier::configure_optimizers()
                                 : Optimizers(make_solver(chosen_solver(), parameters()));
}

Value LogisticRegression::hyper_parameters() const {
  auto options = options_;
  options.learning_rate = learning_rate();
  return to_value(describe(options));
}

}  // namespace levin
