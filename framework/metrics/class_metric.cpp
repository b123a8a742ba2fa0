#include <levin/framework/metrics/class_metric.h>

#include <limits>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The epsilon of the type, as a double.
double epsilon_of_type(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return std::numeric_limits<double>::epsilon();
    case at::kHalf:
      return 0.0009765625;  // 2^-10
    case at::kBFloat16:
      return 0.0078125;  // 2^-7
    default:
      return std::numeric_limits<float>::epsilon();
  }
}

/// The targets as [rows] int64. Checks them if that needs no wait for a device.
torch::Tensor class_targets(const torch::Tensor& targets, int64_t num_classes,
                            const std::string& who) {
  if (!c10::isIntegralType(targets.scalar_type(), /*includeBool=*/true)) {
    throw DataError::bad_value("the type", c10::toString(targets.scalar_type()),
                               fmt::format("{}, targets", who), "classes must be integers");
  }
  if (targets.dim() > 2 || (targets.dim() == 2 && targets.size(1) != 1)) {
    throw DataError::bad_value("the shape", c10::str(targets.sizes()),
                               fmt::format("{}, targets", who),
                               "targets must be [rows] or [rows, 1], the class of each row");
  }
  const auto classes = targets.reshape({-1}).to(at::kLong);
  if (!classes.is_cpu()) return classes;
  const auto [lowest, highest] = classes.aminmax();
  const bool is_low = lowest.item<int64_t>() < 0;
  const auto wrong = is_low ? lowest.item<int64_t>() : highest.item<int64_t>();
  if (!is_low && wrong < num_classes) return classes;
  throw DataError::bad_value("the class", std::to_string(wrong), fmt::format("{}, targets", who),
                             fmt::format("the predictions have {} classes, so it must be from 0 to "
                                         "{}",
                                         num_classes, num_classes - 1));
}

}  // namespace

ClassPredictions::ClassPredictions(torch::Tensor given, bool is_logits)
    : given_(given.dim() == 1 ? given.unsqueeze(1) : std::move(given)), is_logits_(is_logits) {
  if (given_.dim() == 2 && given_.size(1) >= 1 && given_.is_floating_point()) return;
  throw DataError::bad_value(
      "predictions",
      fmt::format("{} of {}", c10::str(given_.sizes()), c10::toString(given_.scalar_type())),
      "metrics of classes",
      "give floating-point numbers [rows, classes], or [rows] those of class 1 of two");
}

ClassPredictions ClassPredictions::of_probabilities(const torch::Tensor& probabilities) {
  return {probabilities.detach(), false};
}

ClassPredictions ClassPredictions::of_logits(const torch::Tensor& logits) {
  return {logits.detach(), true};
}

torch::Tensor ClassPredictions::ordered_classes() const {
  if (!has_single()) return given_;
  return is_logits_ ? at::cat({at::zeros_like(given_), given_}, 1) : probabilities();
}

const torch::Tensor& ClassPredictions::classes() const {
  if (classes_.defined()) return classes_;
  classes_ =
      has_single() ? given_.squeeze(1).gt(is_logits_ ? 0.0 : 0.5).to(at::kLong) : given_.argmax(1);
  return classes_;
}

const torch::Tensor& ClassPredictions::probabilities() const {
  if (probabilities_.defined()) return probabilities_;
  const auto numbers = given_.to(at::kDouble);
  if (!has_single()) {
    probabilities_ = is_logits_ ? numbers.softmax(1) : numbers;
  } else if (is_logits_) {
    probabilities_ = at::cat({(-numbers).sigmoid(), numbers.sigmoid()}, 1);
  } else {
    probabilities_ = at::cat({1.0 - numbers, numbers}, 1);
  }
  return probabilities_;
}

torch::Tensor ClassPredictions::log_losses(const torch::Tensor& targets) const {
  const auto columns = targets.unsqueeze(1);
  if (!is_logits_) {
    const double epsilon = epsilon_of_type(given_.scalar_type());
    const auto chosen = probabilities().gather(1, columns).squeeze(1);
    return -chosen.clamp(epsilon, 1.0 - epsilon).log();
  }
  return -ordered_classes().to(at::kDouble).log_softmax(1).gather(1, columns).squeeze(1);
}

const torch::Tensor& ClassPredictions::scores() const {
  if (scores_.defined()) return scores_;
  if (has_single()) {
    scores_ = given_.to(at::kDouble);
  } else if (num_classes() != 2) {
    scores_ = probabilities();
  } else {
    const auto numbers = given_.to(at::kDouble);
    scores_ =
        is_logits_ ? numbers.narrow(1, 1, 1) - numbers.narrow(1, 0, 1) : numbers.narrow(1, 1, 1);
  }
  if (scores_.is_alias_of(given_)) scores_ = scores_.clone();  // metrics keep it
  return scores_;
}

void ClassMetric::add(const torch::Tensor& predictions, const torch::Tensor& targets,
                      const torch::Tensor& weights) {
  const auto classes = ClassPredictions::of_probabilities(predictions);
  add_classes(classes, class_targets(targets, classes.num_classes(), name()), weights);
}

void ClassMetric::update_logits(const torch::Tensor& logits, const torch::Tensor& targets,
                                const torch::Tensor& weights) {
  update(ClassPredictions::of_logits(logits), targets, weights);
}

void ClassMetric::update(const ClassPredictions& predictions, const torch::Tensor& targets,
                         const torch::Tensor& weights) {
  const at::NoGradGuard no_grad;
  if (targets.dim() == 0 || predictions.rows() != targets.size(0)) {
    throw DataError::rows_differ(name() + ", predictions", predictions.rows(), "targets",
                                 targets.dim() == 0 ? 0 : targets.size(0));
  }
  if (predictions.rows() == 0) return;
  const auto classes = class_targets(targets.detach(), predictions.num_classes(), name());
  const auto row_weights = row_weights_of(weights, predictions.rows(), name());
  add_batch([&] { add_classes(predictions, classes, row_weights); });
}

std::string ClassMetric::class_name(int64_t number, int64_t count) const {
  return std::ssize(class_names_) == count ? class_names_[static_cast<size_t>(number)]
                                           : std::to_string(number);
}

std::vector<MetricValue> ClassMetric::average_classes(Average average,
                                                      const std::vector<ClassNumber>& numbers,
                                                      int64_t count) const {
  std::vector<MetricValue> values;
  double sum = 0.0;
  double weights = 0.0;
  for (const auto& [number, value, weight, missing] : numbers) {
    if (average == Average::none) {
      values.push_back({"_" + class_name(number, count), value, missing});
      continue;
    }
    if (!missing.empty() && average == Average::weighted && weight == 0.0) continue;
    if (!missing.empty()) return {{"", 0.0, missing}};
    const double counts = average == Average::weighted ? weight : 1.0;
    sum += counts * value;
    weights += counts;
  }
  if (average == Average::none) return values;
  if (!(weights > 0.0)) return {};
  return {{"", sum / weights}};
}

std::string no_rows_of(const std::string& class_name, bool has_rows) {
  return has_rows ? fmt::format("all rows of class {} have weight 0", class_name)
                  : fmt::format("there are no rows of class {}", class_name);
}

Average average_of(const std::string& name, const std::vector<std::string>& known) {
  static const std::vector<std::string> kNames = {"auto",  "binary",   "micro",
                                                  "macro", "weighted", "none"};
  for (const auto& one : known) {
    if (one != name) continue;
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (kNames[i] == name) return static_cast<Average>(i);
    }
  }
  throw ConfigError::unknown_name("average", name, known);
}

}  // namespace levin
