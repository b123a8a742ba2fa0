#include <levin/framework/metrics/class_scores.h>

#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

const std::vector<std::string>& score_averages() {
  static const std::vector<std::string> kNames = {"auto",  "binary",   "micro",
                                                  "macro", "weighted", "none"};
  return kNames;
}

constexpr const char* kAverageHelp = "auto, binary, micro, macro, weighted, or none: each class";

torch::Tensor weights_or_ones(const torch::Tensor& weights, const torch::Tensor& targets) {
  return weights.defined() ? weights
                           : at::ones(targets.sizes(), targets.options().dtype(at::kDouble));
}

double share_of(double part, double whole) { return whole > 0.0 ? part / whole : 0.0; }

/// The average that `automatic` stands for.
Average chosen_average(Average average, int64_t classes) {
  if (average != Average::automatic) return average;
  return classes == 2 ? Average::binary : Average::macro;
}

}  // namespace

Fields describe(PrecisionScoreOptions& o) {
  return fields_of<PrecisionScoreOptions>({{"average", &o.average, kAverageHelp}});
}
Fields describe(RecallScoreOptions& o) {
  return fields_of<RecallScoreOptions>({{"average", &o.average, kAverageHelp}});
}
Fields describe(F1ScoreOptions& o) {
  return fields_of<F1ScoreOptions>({{"average", &o.average, kAverageHelp}});
}
Fields describe(FBetaScoreOptions& o) {
  return fields_of<FBetaScoreOptions>({
      {"beta", &o.beta, "how many times as much recall counts as precision"},
      {"average", &o.average, kAverageHelp},
  });
}
Fields describe(ConfusionMatrixOptions& o) {
  return fields_of<ConfusionMatrixOptions>({
      {"normalize", &o.normalize, "divide counts by the rows of: none, target, prediction or all"},
  });
}
Fields describe(AccuracyOptions& o) {
  return fields_of<AccuracyOptions>({
      {"top_k", &o.top_k, "a row is right if its class is among so many most likely ones"},
      {"average", &o.average, "micro, macro, or none: each class"},
  });
}

void ConfusionCounts::add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                                  const torch::Tensor& weights) {
  const int64_t classes = predictions.num_classes();
  const auto& counts = sum(0, {classes, classes}, at::kDouble, targets.device());
  counts.view({-1}).index_add_(0, targets * classes + predictions.classes(),
                               weights_or_ones(weights, targets));
  if (!weights.defined()) return;
  const auto& occurrences = sum(1, {2, classes}, at::kDouble, targets.device());
  const auto once = at::ones_like(weights);
  occurrences[0].index_add_(0, targets, once);
  occurrences[1].index_add_(0, predictions.classes(), once);
}

torch::Tensor ConfusionCounts::counts() const {
  const auto counts = sum(0);
  return counts.defined() && counts.sum().item<double>() > 0.0 ? counts : torch::Tensor();
}

torch::Tensor ConfusionCounts::occurrences(const torch::Tensor& counts) const {
  const auto counted = at::stack({counts.sum(1), counts.sum(0)}).gt(0);
  const auto occurrences = sum(1);
  return occurrences.defined() ? counted.logical_or(occurrences.gt(0)) : counted;
}

ClassScore::ClassScore(const std::string& average)
    : average_name_(average), average_(average_of(average, score_averages())) {}

std::vector<MetricValue> ClassScore::compute() const {
  const auto all = counts();
  if (!all.defined()) return {};
  const int64_t classes = all.size(0);
  const auto average = chosen_average(average_, classes);
  if (average == Average::binary && classes != 2) {
    throw ConfigError::conflict(
        fmt::format("{}: average = binary with {} classes", name(), classes),
        "use macro, micro or weighted, or two classes");
  }
  const auto right = all.diagonal().contiguous();
  const auto predicted = all.sum(0);
  const auto actual = all.sum(1);
  const auto found = occurrences(all);
  const auto occurs = found.any(0);
  std::vector<ClassNumber> numbers;
  ClassCounts together{0.0, 0.0, 0.0};
  for (int64_t i = 0; i < classes; ++i) {
    const ClassCounts one{right[i].item<double>(), predicted[i].item<double>(),
                          actual[i].item<double>()};
    together.right += one.right;
    together.predicted += one.predicted;
    together.actual += one.actual;
    const double value = score(one);
    const double number = std::isnan(value) ? 0.0 : value;
    if (average == Average::none && is_missing(one)) {
      numbers.push_back(
          {i, 0.0, 0.0, no_rows_of(class_name(i, classes), found[0][i].item<bool>())});
    } else if (average == Average::none || occurs[i].item<bool>()) {
      numbers.push_back({i, number, one.actual});
    }
    if (average == Average::binary && i == 1) return {{"", number}};
  }
  if (average == Average::micro) return {{"", score(together)}};
  return average_classes(average, numbers, classes);
}

FBetaScore::FBetaScore(FBetaScoreOptions options)
    : ClassScore(options.average), beta_(options.beta) {
  if (beta_ > 0.0 && std::isfinite(beta_)) return;
  throw ConfigError::invalid_value("beta", fmt::format("{}", beta_), "must be above 0");
}

Value FBetaScore::settings() const {
  Value settings = ClassScore::settings();
  settings["beta"] = beta_;
  return settings;
}

double FBetaScore::score(const ClassCounts& counts) const {
  const double square = beta_ * beta_;
  return (1.0 + square) * counts.right / (square * counts.actual + counts.predicted);
}

ConfusionMatrix::ConfusionMatrix(ConfusionMatrixOptions options) : options_(std::move(options)) {
  const std::vector<std::string> known = {"none", "target", "prediction", "all"};
  for (const auto& one : known) {
    if (one == options_.normalize) return;
  }
  throw ConfigError::unknown_name("normalize", options_.normalize, known);
}

Value ConfusionMatrix::settings() const { return Value::Object{{"normalize", options_.normalize}}; }

torch::Tensor ConfusionMatrix::matrix() const {
  const auto all = counts();
  if (!all.defined() || options_.normalize == "none") return all;
  const auto whole = options_.normalize == "target"       ? all.sum(1, /*keepdim=*/true)
                     : options_.normalize == "prediction" ? all.sum(0, /*keepdim=*/true)
                                                          : all.sum();
  return at::where(whole.gt(0), all / whole, at::zeros_like(all));
}

std::vector<MetricValue> ConfusionMatrix::compute() const {
  const auto all = matrix();
  if (!all.defined()) return {};
  const int64_t classes = all.size(0);
  const double* next = all.const_data_ptr<double>();
  std::vector<MetricValue> values;
  for (int64_t i = 0; i < classes; ++i) {
    for (int64_t j = 0; j < classes; ++j) {
      values.push_back(
          {fmt::format("_{}_{}", class_name(i, classes), class_name(j, classes)), *next++});
    }
  }
  return values;
}

Accuracy::Accuracy(AccuracyOptions options)
    : options_(std::move(options)),
      average_(average_of(options_.average, {"micro", "macro", "none"})) {
  name_sum("right");
  name_sum("occurrences");
  if (options_.top_k >= 1) return;
  throw ConfigError::invalid_value("top_k", std::to_string(options_.top_k), "must be at least 1");
}

Value Accuracy::settings() const {
  return Value::Object{{"top_k", options_.top_k}, {"average", options_.average}};
}

void Accuracy::add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                           const torch::Tensor& weights) {
  const int64_t classes = predictions.num_classes();
  torch::Tensor right;
  if (options_.top_k == 1) {
    right = predictions.classes().eq(targets);
  } else {
    const auto order = predictions.ordered_classes();
    const auto own = order.gather(1, targets.unsqueeze(1));
    const auto numbers = at::arange(classes, targets.options());
    const auto before = numbers.lt(targets.unsqueeze(1)).logical_and(order.eq(own));
    right = order.gt(own).logical_or(before).sum(1).lt(options_.top_k);
  }
  const auto weight = weights_or_ones(weights, targets);
  const auto& counts = sum(0, {2, classes}, at::kDouble, targets.device());
  counts[0].index_add_(0, targets, weight);
  counts[1].index_add_(0, targets, weight * right);
  if (!weights.defined()) return;
  sum(1, {classes}, at::kDouble, targets.device()).index_add_(0, targets, at::ones_like(weight));
}

std::vector<MetricValue> Accuracy::compute() const {
  const auto counts = sum(0);
  if (!counts.defined() || !(counts[0].sum().item<double>() > 0.0)) return {};
  const int64_t classes = counts.size(1);
  if (average_ == Average::micro) {
    return {{"", counts[1].sum().item<double>() / counts[0].sum().item<double>()}};
  }
  std::vector<ClassNumber> numbers;
  for (int64_t i = 0; i < classes; ++i) {
    const double all = counts[0][i].item<double>();
    if (all > 0.0) {
      numbers.push_back({i, share_of(counts[1][i].item<double>(), all), all});
    } else if (average_ == Average::none) {
      const auto rows = sum(1);
      const bool has_rows = rows.defined() && rows[i].item<double>() > 0.0;
      numbers.push_back({i, 0.0, 0.0, no_rows_of(class_name(i, classes), has_rows)});
    }
  }
  return average_classes(average_, numbers, classes);
}

}  // namespace levin
