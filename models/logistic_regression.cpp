#include <levin/models/logistic_regression.h>

#include <typeinfo>

#include <levin/framework/core/error.h>
#include <levin/models/linear.h>

namespace levin {
namespace {

/// Returns the number of logits, after checking the options that the base class doesn't check.
int64_t logits_of(const LogisticRegressionOptions& options) {
  if (options.in_features < 1) {
    throw ConfigError::invalid_value("in_features", std::to_string(options.in_features),
                                     "must be at least 1");
  }
  if (options.loss != "auto" && options.loss != "logistic" && options.loss != "softmax") {
    throw ConfigError::unknown_name("loss", options.loss, {"auto", "logistic", "softmax"});
  }
  if (options.loss == "logistic" && options.num_classes != 2) {
    throw ConfigError::conflict(
        "loss = logistic with num_classes = " + std::to_string(options.num_classes),
        "the logistic loss is for two classes; use loss = softmax");
  }
  if (options.products != "float32" && options.products != "bfloat16") {
    throw ConfigError::unknown_name("products", options.products, {"float32", "bfloat16"});
  }
  const bool is_logistic = options.num_classes == 2 && options.loss != "softmax";
  if (is_logistic && options.products == "bfloat16") {
    throw ConfigError::conflict("products = bfloat16 with the logistic loss",
                                "a single logit has no matrix products; use loss = softmax");
  }
  return is_logistic ? 1 : options.num_classes;
}

}  // namespace

Fields describe(LogisticRegressionOptions& o) {
  return fields_of<LogisticRegressionOptions>({
      {"in_features", &o.in_features, "features a row; other shapes are flattened"},
      {"num_classes", &o.num_classes, "classes, numbered from 0"},
      {"bias", &o.bias, "whether each logit has a bias"},
      {"learning_rate", &o.learning_rate, "the optimizer's learning rate"},
      {"optimizer", &o.optimizer,
       "name of an optimizer, which gets learning_rate; see `list optimizers`"},
      {"l1_strength", &o.l1_strength, "adds l1_strength * sum |W| to the loss"},
      {"l2_strength", &o.l2_strength, "adds l2_strength * sum W^2 to the loss"},
      {"loss", &o.loss, "logistic (two classes, one logit), softmax, or auto"},
      {"products", &o.products, "numbers that steps of the softmax multiply: float32 or bfloat16"},
      {"solver", &o.solver,
       "trains on all rows at once instead of batches: a solver's name, or auto"},
      {"tol", &o.tol, "the solver ends if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations of the solver"},
  });
}

LogisticRegression::LogisticRegression(LogisticRegressionOptions options,
                                       const OptimizerList& optimizers)
    : Classifier({.num_classes = options.num_classes,
                  .learning_rate = options.learning_rate,
                  .optimizer = options.optimizer,
                  .l1_strength = options.l1_strength,
                  .l2_strength = options.l2_strength},
                 optimizers),
      options_(std::move(options)),
      linear_(
          torch::nn::LinearOptions(options_.in_features, logits_of(options_)).bias(options_.bias)),
      optimizers_(optimizers) {
  register_module("linear", linear_);
  if (!options_.solver.empty()) make_solver();  // refuses what is wrong with its settings
}

torch::Tensor LogisticRegression::forward(const torch::Tensor& input) {
  return linear(flatten_for(linear_->weight, input), linear_->weight, linear_->bias);
}

bool LogisticRegression::has_closed_form() const {
  return typeid(*this) == typeid(LogisticRegression);
}

bool LogisticRegression::capturable() const { return typeid(*this) == typeid(LogisticRegression); }

bool LogisticRegression::reads_rows_in_place() const {
  if (!has_closed_form() || linear_->weight.size(0) == 1) return false;
  return has_bfloat16_products() ? Bfloat16SoftmaxLoss::can_learn(linear_->weight, linear_->bias)
                                 : SoftmaxLoss::can_learn(linear_->weight, linear_->bias);
}

torch::Tensor LogisticRegression::batch_loss(const Batch& batch, const torch::Tensor& targets) {
  const auto& weight = linear_->weight;
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
  Classifier::backward(loss);
}

std::optional<LinearLoss> LogisticRegression::linear_loss() const {
  if (!has_closed_form()) return {};
  return LinearLoss{
      .kind = linear_->weight.size(0) == 1 ? LinearLoss::Kind::logistic : LinearLoss::Kind::softmax,
      .weight = linear_->weight,
      .bias = linear_->bias,
      .l1_strength = options_.l1_strength,
      .l2_strength = options_.l2_strength};
}

std::string LogisticRegression::chosen_solver() const {
  if (options_.solver != "auto") return options_.solver;
  constexpr int64_t kFew = 1000;
  if (options_.l1_strength > 0.0) return "coordinate-descent-or-lbfgs";
  return num_parameters() <= kFew ? "newton-cholesky" : "newton-cg";
}

std::unique_ptr<Optimizer> LogisticRegression::make_solver() const {
  return optimizers_.make(chosen_solver(),
                          Value::Object{{"tol", options_.tol}, {"max_iter", options_.max_iter}},
                          parameters());
}

Optimizers LogisticRegression::configure_optimizers() {
  return options_.solver.empty() ? Classifier::configure_optimizers() : Optimizers(make_solver());
}

Value LogisticRegression::hyper_parameters() const {
  auto options = options_;
  options.learning_rate = learning_rate();
  return to_value(describe(options));
}

}  // namespace levin
