#include <levin/models/classification_metrics.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <ATen/Functions.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// An epsilon of the type of a tensor, as a double.
double epsilon_of(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
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

void require_collected(const std::vector<torch::Tensor>& batches) {
  if (batches.empty()) {
    throw DataError::empty("the collection of scores", "add the predictions of a batch first");
  }
}

}  // namespace

double log_loss(const torch::Tensor& probabilities, const torch::Tensor& targets) {
  const double epsilon = epsilon_of(probabilities);
  const auto classes = targets.reshape({-1, 1}).to(at::kLong);
  const auto chosen = probabilities.gather(1, classes).to(at::kDouble);
  return chosen.clamp(epsilon, 1.0 - epsilon).log().mean().neg().item<double>();
}

std::vector<double> recall_of_classes(const torch::Tensor& predicted, const torch::Tensor& targets,
                                      int64_t num_classes) {
  const auto classes = targets.reshape({-1}).to(at::kLong);
  const auto hits = classes.masked_select(predicted.reshape({-1}).eq(classes));
  const auto count = [num_classes](const torch::Tensor& of) {
    return at::bincount(of, {}, num_classes).to(at::kDouble);
  };
  const auto recalls = count(hits).div(count(classes)).cpu();
  const double* values = recalls.const_data_ptr<double>();
  return {values, values + num_classes};
}

double roc_auc(const torch::Tensor& scores, const torch::Tensor& positive) {
  const auto all_scores = scores.reshape({-1}).to(at::kDouble).cpu().contiguous();
  const auto all_positive = positive.reshape({-1}).to(at::kBool).cpu().contiguous();
  std::vector<std::pair<double, bool>> rows;
  for (int64_t i = 0; i < all_scores.numel(); ++i) {
    rows.emplace_back(all_scores.const_data_ptr<double>()[i],
                      all_positive.const_data_ptr<bool>()[i]);
  }
  const auto is_nan = [](const auto& row) { return std::isnan(row.first); };
  if (std::any_of(rows.begin(), rows.end(), is_nan)) {  // which have no order
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::sort(rows.begin(), rows.end());
  // Goes through groups of equal scores. Counts stay whole, so the sum of pairs is exact.
  double pairs = 0.0;
  double negatives = 0.0;
  double positives = 0.0;
  for (size_t i = 0; i < rows.size();) {
    double ties[2] = {0.0, 0.0};
    const double score = rows[i].first;
    for (; i < rows.size() && rows[i].first == score; ++i) ties[rows[i].second ? 1 : 0] += 1.0;
    pairs += ties[1] * (negatives + ties[0] / 2.0);
    negatives += ties[0];
    positives += ties[1];
  }
  if (negatives == 0.0 || positives == 0.0) return std::numeric_limits<double>::quiet_NaN();
  return pairs / (negatives * positives);
}

void ClassificationScores::add(const torch::Tensor& probabilities, const torch::Tensor& targets) {
  if (probabilities.size(0) != targets.numel()) {
    throw DataError::rows_differ("probabilities", probabilities.size(0), "targets",
                                 targets.numel());
  }
  const auto keep = [](const torch::Tensor& tensor) {
    return tensor.detach().to(at::TensorOptions().device(at::kCPU), /*non_blocking=*/false,
                              /*copy=*/true);
  };
  probabilities_.push_back(keep(probabilities));
  targets_.push_back(keep(targets.reshape({-1})).to(at::kLong));
}

int64_t ClassificationScores::rows() const {
  int64_t sum = 0;
  for (const auto& batch : targets_) sum += batch.numel();
  return sum;
}

torch::Tensor ClassificationScores::probabilities() const {
  require_collected(probabilities_);
  return at::cat(probabilities_);
}

torch::Tensor ClassificationScores::targets() const {
  require_collected(targets_);
  return at::cat(targets_);
}

double ClassificationScores::log_loss() const {
  return levin::log_loss(probabilities(), targets());
}

double ClassificationScores::accuracy() const {
  return probabilities().argmax(1).eq(targets()).to(at::kDouble).mean().item<double>();
}

std::vector<double> ClassificationScores::recall_of_classes() const {
  const auto all = probabilities();
  return levin::recall_of_classes(all.argmax(1), targets(), all.size(1));
}

double ClassificationScores::roc_auc() const {
  const auto all = probabilities();
  const auto classes = targets();
  if (all.size(1) == 2) return levin::roc_auc(all.select(1, 1), classes.eq(1));
  double sum = 0.0;
  for (int64_t i = 0; i < all.size(1); ++i) {
    sum += levin::roc_auc(all.select(1, i), classes.eq(i));
  }
  return sum / static_cast<double>(all.size(1));
}

}  // namespace levin
