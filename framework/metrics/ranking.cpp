#include <levin/framework/metrics/ranking.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

namespace levin {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kRankingHelp =
    "of more than two classes: macro, weighted, or none: each class";
constexpr size_t kScoreRows = 0;
constexpr size_t kTargetRows = 1;
constexpr size_t kWeightRows = 2;

struct RankedRow {
  double score;
  bool is_positive;
  double weight;
  // A whole order, so that sums of weights don't depend on the order in which rows came.
  bool operator<(const RankedRow& other) const {
    return std::tie(score, is_positive, weight) <
           std::tie(other.score, other.is_positive, other.weight);
  }
};

/// The rows from the lowest score to the highest; nothing if a score is NaN, which has no order.
/// Rows of weight 0 are left out.
std::optional<std::vector<RankedRow>> ranked_rows(const torch::Tensor& scores,
                                                  const torch::Tensor& positive,
                                                  const torch::Tensor& weights) {
  const auto numbers = scores.reshape({-1}).to(at::kDouble).cpu().contiguous();
  const auto flags = positive.reshape({-1}).to(at::kBool).cpu().contiguous();
  const auto own = weights.defined() ? weights.reshape({-1}).to(at::kDouble).cpu().contiguous()
                                     : torch::Tensor();
  const double* const score = numbers.const_data_ptr<double>();
  const bool* const flag = flags.const_data_ptr<bool>();
  const double* const weight = own.defined() ? own.const_data_ptr<double>() : nullptr;
  std::vector<RankedRow> rows;
  rows.reserve(static_cast<size_t>(numbers.numel()));
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    if (std::isnan(score[i])) return {};
    const double counts = weight != nullptr ? weight[i] : 1.0;
    if (counts != 0.0) rows.push_back({score[i], flag[i], counts});
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

bool has_any(const torch::Tensor& flags) { return flags.any().item<bool>(); }

}  // namespace

double roc_auc(const torch::Tensor& scores, const torch::Tensor& positive,
               const torch::Tensor& weights) {
  const auto rows = ranked_rows(scores, positive, weights);
  if (!rows) return kNoScore;
  // Goes through groups of equal scores. Counts stay whole, so the sum of pairs is exact.
  double pairs = 0.0;
  double negatives = 0.0;
  double positives = 0.0;
  for (size_t i = 0; i < rows->size();) {
    double ties[2] = {0.0, 0.0};
    const double score = (*rows)[i].score;
    for (; i < rows->size() && (*rows)[i].score == score; ++i) {
      ties[(*rows)[i].is_positive ? 1 : 0] += (*rows)[i].weight;
    }
    pairs += ties[1] * (negatives + ties[0] / 2.0);
    negatives += ties[0];
    positives += ties[1];
  }
  return negatives == 0.0 || positives == 0.0 ? kNoScore : pairs / (negatives * positives);
}

double average_precision(const torch::Tensor& scores, const torch::Tensor& positive,
                         const torch::Tensor& weights) {
  const auto rows = ranked_rows(scores, positive, weights);
  if (!rows) return kNoScore;
  double sum = 0.0;
  double all = 0.0;
  double positives = 0.0;
  for (size_t i = rows->size(); i > 0;) {
    const double score = (*rows)[i - 1].score;
    double ties[2] = {0.0, 0.0};
    for (; i > 0 && (*rows)[i - 1].score == score; --i) {
      ties[(*rows)[i - 1].is_positive ? 1 : 0] += (*rows)[i - 1].weight;
    }
    all += ties[0] + ties[1];
    positives += ties[1];
    sum += ties[1] * (positives / all);
  }
  return positives == 0.0 ? kNoScore : sum / positives;
}

Fields describe(AurocOptions& o) {
  return fields_of<AurocOptions>({{"average", &o.average, kRankingHelp}});
}
Fields describe(AveragePrecisionOptions& o) {
  return fields_of<AveragePrecisionOptions>({{"average", &o.average, kRankingHelp}});
}

RankingMetric::RankingMetric(const std::string& average)
    : average_name_(average), average_(average_of(average, {"macro", "weighted", "none"})) {
  name_rows("scores");
  name_rows("targets");
  name_rows("weights");
}

void RankingMetric::add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                                const torch::Tensor& weights) {
  keep_rows(kScoreRows, predictions.scores());
  keep_rows(kTargetRows, targets.clone());
  keep_rows(kWeightRows, weights.defined()
                             ? weights.clone()
                             : at::ones({targets.size(0)}, targets.options().dtype(at::kDouble)));
}

ClassNumber RankingMetric::number_of(int64_t number, int64_t classes, const torch::Tensor& scores,
                                     const torch::Tensor& targets,
                                     const torch::Tensor& weights) const {
  const auto positive = targets.eq(number);
  const double weight = weights.masked_select(positive).sum().item<double>();
  const double rest = weights.masked_select(positive.logical_not()).sum().item<double>();
  const bool has_too_few = weight == 0.0 || (needs_negatives() && rest == 0.0);
  const double value = has_too_few ? 0.0 : score(scores, positive, weights);
  const auto own_name = class_name(number, classes);
  if (weight == 0.0) return {number, value, weight, no_rows_of(own_name, has_any(positive))};
  const auto missing = has_too_few && has_any(positive.logical_not())
                           ? "all rows of other classes than {} have weight 0"
                       : has_too_few       ? "all rows are of class {}"
                       : std::isnan(value) ? "a score of class {} is NaN"
                                           : "";
  return {number, value, weight, fmt::format(fmt::runtime(missing), own_name)};
}

std::vector<MetricValue> RankingMetric::compute() const {
  const at::NoGradGuard no_grad;
  const auto scores = rows(kScoreRows);
  if (!scores.defined()) return {};
  const auto targets = rows(kTargetRows);
  const auto weights = rows(kWeightRows);
  if (!(weights.sum().item<double>() > 0.0)) return {};
  if (scores.size(1) == 1) {
    const auto one = number_of(1, 2, scores.select(1, 0), targets, weights);
    return {{"", one.value, one.missing}};
  }
  const int64_t classes = scores.size(1);
  std::vector<ClassNumber> numbers;
  for (int64_t i = 0; i < classes; ++i) {
    numbers.push_back(number_of(i, classes, scores.select(1, i), targets, weights));
  }
  return average_classes(average_, numbers, classes);
}

}  // namespace levin
