#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/metrics/class_metric.h>

namespace levin {

/// Returns the area under the ROC curve: the share of pairs of a positive and a negative row in
/// which the positive one has the higher score; equal scores count half. NaN if there is no such
/// pair or a score is NaN. `scores` [rows] of any floating-point type, `positive` [rows] bool;
/// `weights` [rows], if given, by which rows count. scikit-learn: roc_auc_score.
double roc_auc(const torch::Tensor& scores, const torch::Tensor& positive,
               const torch::Tensor& weights = {});
/// Returns the average precision: the sum over the different scores s, from the highest on, of the
/// precision if the rows of at least s are said to be positive, times what the recall grows by
/// them. NaN if there is no positive row or a score is NaN. scikit-learn: average_precision_score.
double average_precision(const torch::Tensor& scores, const torch::Tensor& positive,
                         const torch::Tensor& weights = {});

/// A metric of the order in which scores put the rows. It is exact, over all rows and ties, and
/// therefore keeps a float64 of each row and class, a single one of two classes, and the row's
/// class and weight. So that steps can't be captured in a CUDA graph.
class RankingMetric : public ClassMetric {
 public:
  std::vector<MetricValue> compute() const override;
  Value settings() const override { return Value::Object{{"average", average_name_}}; }

 protected:
  /// Throws ConfigError unless the average is "macro", "weighted" or "none".
  explicit RankingMetric(const std::string& average);
  /// The number of one class against the rest. `scores` [rows] float64, `positive` [rows] bool.
  virtual double score(const torch::Tensor& scores, const torch::Tensor& positive,
                       const torch::Tensor& weights) const = 0;
  /// Whether a class all of whose rows are positive has no number.
  virtual bool needs_negatives() const = 0;
  void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) override;

 private:
  ClassNumber number_of(int64_t number, int64_t classes, const torch::Tensor& scores,
                        const torch::Tensor& targets, const torch::Tensor& weights) const;

  std::string average_name_;
  Average average_;
};

struct AurocOptions {
  /// Of more than two classes: "macro", the mean of the areas of each class against the rest,
  /// "weighted", the same weighted by their rows, or "none", the area of each class.
  std::string average = "macro";
};
Fields describe(AurocOptions& options);

/// The area under the ROC curve, of class 1 if there are two classes. There is none if a class has
/// no rows, unless the areas are weighted. scikit-learn: roc_auc_score with multi_class="ovr".
class Auroc : public RankingMetric {
 public:
  using Options = AurocOptions;
  explicit Auroc(AurocOptions options = {}) : RankingMetric(options.average) {}
  std::string name() const override { return "auroc"; }

 protected:
  double score(const torch::Tensor& scores, const torch::Tensor& positive,
               const torch::Tensor& weights) const override {
    return roc_auc(scores, positive, weights);
  }
  bool needs_negatives() const override { return true; }
};

struct AveragePrecisionOptions {
  /// As that of AurocOptions.
  std::string average = "macro";
};
Fields describe(AveragePrecisionOptions& options);

/// The average precision, of class 1 if there are two classes, and else of each class against the
/// rest. There is none if a class has no rows, unless the averages are weighted. scikit-learn:
/// average_precision_score.
class AveragePrecision : public RankingMetric {
 public:
  using Options = AveragePrecisionOptions;
  explicit AveragePrecision(AveragePrecisionOptions options = {})
      : RankingMetric(options.average) {}
  std::string name() const override { return "average_precision"; }

 protected:
  double score(const torch::Tensor& scores, const torch::Tensor& positive,
               const torch::Tensor& weights) const override {
    return average_precision(scores, positive, weights);
  }
  bool needs_negatives() const override { return false; }
};

}  // namespace levin
