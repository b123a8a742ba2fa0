#include <levin/models/evaluation_scores.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <levin/framework/core/error.h>
#include <levin/models/classification_metrics.h>
#include <levin/models/classifier.h>

namespace levin {
namespace {

/// What orders the rows of a class: of two classes the logit of class 1 above that of class 0,
/// which unlike the probability doesn't come to the same for all rows that are nearly certain.
torch::Tensor scores_of(const torch::Tensor& logits, int64_t num_classes) {
  const auto z = logits.to(at::kDouble);
  if (num_classes != 2) return z.softmax(1);
  if (z.dim() == 1 || z.size(1) == 1) return z.reshape({-1, 1});
  return (z.select(1, 1) - z.select(1, 0)).unsqueeze(1);
}

/// The rows of all ranks, one rank's below the other's: [rows, ...] of [own rows, ...]. Sums with
/// zeros are exact.
torch::Tensor rows_of_all_ranks(Run& run, const torch::Tensor& own) {
  const int64_t rank = run.ranks().rank();
  auto counts = at::zeros({run.ranks().size()}, at::kLong);
  counts[rank] = own.size(0);
  counts = run.reduce(counts);
  auto sizes = own.sizes().vec();
  sizes[0] = counts.sum().item<int64_t>();
  auto all = at::zeros(sizes, own.options());
  all.narrow(0, counts.narrow(0, 0, rank).sum().item<int64_t>(), own.size(0)).copy_(own);
  return run.reduce(all);
}

/// Warns that a metric can't be computed because the evaluation has no rows of a class.
void warn_of_class(Run& run, std::string_view metric, const std::string& name,
                   const std::string& found) {
  if (run.progress().sanity_checking()) return;
  run.warn(fmt::format(
      "{} isn't logged: {} of class {}; evaluate rows of all classes, more of them or chosen with "
      "stratify",
      metric, found, name));
}

}  // namespace

EvaluationScores::EvaluationScores(std::vector<std::string> names) {
  for (const auto& name : names) {
    if (name != "auroc" && name != "recall") {
      throw ConfigError::unknown_name("metrics", name, {"auroc", "recall"});
    }
    (name == "auroc" ? has_auroc_ : has_recall_) = true;
  }
}

void EvaluationScores::reset() {
  scores_.clear();
  targets_.clear();
  counts_.reset();
}

void EvaluationScores::add(const torch::Tensor& logits, const torch::Tensor& targets,
                           int64_t num_classes) {
  const at::NoGradGuard no_grad;
  const auto classes = targets.reshape({-1});
  if (has_auroc_) {
    scores_.push_back(scores_of(logits, num_classes).cpu());
    targets_.push_back(classes.to(at::TensorOptions().device(at::kCPU), false, /*copy=*/true));
  }
  if (!has_recall_) return;
  if (!counts_.defined()) {
    counts_ = at::zeros({2, num_classes}, classes.options());
  }
  counts_[0].index_add_(0, classes, at::ones_like(classes));
  counts_[1].index_add_(0, classes, predicted_classes(logits).eq(classes).to(at::kLong));
}

void EvaluationScores::log(Run& run, std::string_view stage, int64_t num_classes,
                           const std::vector<std::string>& class_names) const {
  auto names = class_names;
  if (std::ssize(names) != num_classes) {
    names.clear();
    for (int64_t i = 0; i < num_classes; ++i) names.push_back(std::to_string(i));
  }
  const at::NoGradGuard no_grad;
  if (has_auroc_) log_auroc(run, stage, num_classes, names);
  if (has_recall_) log_recall(run, stage, num_classes, names);
}

void EvaluationScores::log_auroc(Run& run, std::string_view stage, int64_t num_classes,
                                 const std::vector<std::string>& names) const {
  const bool is_binary = num_classes == 2;
  const auto scores = rows_of_all_ranks(
      run, scores_.empty() ? at::empty({0, is_binary ? 1 : num_classes}, at::kDouble)
                           : at::cat(scores_));
  const auto targets =
      rows_of_all_ranks(run, targets_.empty() ? at::empty({0}, at::kLong) : at::cat(targets_));
  const auto name = fmt::format("{}_auroc", stage);
  double sum = 0.0;
  for (int64_t i = is_binary ? 1 : 0; i < num_classes; ++i) {
    const auto positive = targets.eq(i);
    const int64_t count = positive.sum().item<int64_t>();
    if (count == 0 || count == targets.numel()) {
      return warn_of_class(run, name, names[static_cast<size_t>(i)],
                           count == 0 ? "there are no rows" : "all rows are");
    }
    sum += roc_auc(scores.select(1, is_binary ? 0 : i), positive);
  }
  run.log(name, is_binary ? sum : sum / static_cast<double>(num_classes), {.prog_bar = true});
}

void EvaluationScores::log_recall(Run& run, std::string_view stage, int64_t num_classes,
                                  const std::vector<std::string>& names) const {
  const auto own = counts_.defined() ? counts_.cpu() : at::zeros({2, num_classes}, at::kLong);
  const auto counts = run.reduce(own);
  const int64_t* all = counts.const_data_ptr<int64_t>();
  const int64_t* right = all + num_classes;
  for (int64_t i = 0; i < num_classes; ++i) {
    const auto& of_class = names[static_cast<size_t>(i)];
    const auto name = fmt::format("{}_recall_{}", stage, of_class);
    if (all[i] == 0) {
      warn_of_class(run, name, of_class, "there are no rows");
    } else {
      run.log(name, static_cast<double>(right[i]) / static_cast<double>(all[i]));
    }
  }
}

}  // namespace levin
