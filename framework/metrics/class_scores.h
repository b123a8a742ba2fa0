#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/metrics/class_metric.h>

namespace levin {

/// What metrics of predicted classes have in common: how many rows of each class were predicted to
/// be of each class, the confusion counts. The state is [classes, classes] float64, of which
/// element (i, j) counts the rows of class i that were predicted to be of class j, or adds up their
/// weights; and if rows have weights, how many rows of each class there are and how many were
/// predicted to be of it, whatever they weigh, [2, classes]. Counts and sums of whole weights are
/// exact; other weights are added in the order of the rows, so that their sums may depend on how
/// ranks share the rows, in the last bits.
class ConfusionCounts : public ClassMetric {
 public:
  ConfusionCounts() {
    name_sum("counts");
    name_sum("occurrences");
  }

 protected:
  void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) override;
  /// [classes, classes] float64 on the CPU; undefined if there are no rows or none has a weight.
  torch::Tensor counts() const;
  /// Which classes targets (row 0) and predictions (row 1) have, even if all of their rows have
  /// weight 0: [2, classes] bool, given `counts`.
  torch::Tensor occurrences(const torch::Tensor& counts) const;
};

/// The counts of one class.
struct ClassCounts {
  double right;      // rows of the class that were predicted to be of it
  double predicted;  // rows that were predicted to be of it
  double actual;     // rows of it
};

/// A metric that is a function of the counts of a class, and its averages.
class ClassScore : public ConfusionCounts {
 public:
  /// Throws ConfigError for an unknown average.
  explicit ClassScore(const std::string& average);
  std::vector<MetricValue> compute() const override;
  Value settings() const override { return Value::Object{{"average", average_name_}}; }

 protected:
  /// The score, or NaN where it divides 0 by 0, which counts as 0.
  virtual double score(const ClassCounts& counts) const = 0;
  /// Whether the class has no score because there are no rows by which to tell.
  virtual bool is_missing(const ClassCounts& counts) const {
    return counts.actual == 0.0 && counts.predicted == 0.0;
  }

 private:
  std::string average_name_;
  Average average_;
};

struct PrecisionScoreOptions {
  /// "auto", "binary", "micro", "macro", "weighted", or "none" for that of each class.
  std::string average = "none";
};
Fields describe(PrecisionScoreOptions& options);

/// The share of the rows predicted to be of a class that are of it. scikit-learn: precision_score.
class PrecisionScore : public ClassScore {
 public:
  using Options = PrecisionScoreOptions;
  explicit PrecisionScore(PrecisionScoreOptions options = {}) : ClassScore(options.average) {}
  std::string name() const override { return "precision"; }

 protected:
  double score(const ClassCounts& counts) const override { return counts.right / counts.predicted; }
};

struct RecallScoreOptions {
  /// As that of PrecisionScoreOptions.
  std::string average = "none";
};
Fields describe(RecallScoreOptions& options);

/// The share of the rows of a class that are predicted to be of it. A class without rows, or whose
/// rows all have weight 0, has none.
/// scikit-learn: recall_score.
class RecallScore : public ClassScore {
 public:
  using Options = RecallScoreOptions;
  explicit RecallScore(RecallScoreOptions options = {}) : ClassScore(options.average) {}
  std::string name() const override { return "recall"; }

 protected:
  double score(const ClassCounts& counts) const override { return counts.right / counts.actual; }
  bool is_missing(const ClassCounts& counts) const override { return counts.actual == 0.0; }
};

struct FBetaScoreOptions {
  /// How many times as much recall counts as precision.
  double beta = 1.0;
  /// As that of PrecisionScoreOptions.
  std::string average = "auto";
};
Fields describe(FBetaScoreOptions& options);

/// The weighted harmonic mean of precision p and recall r, (1 + b^2) p r / (b^2 p + r) with b =
/// beta. scikit-learn: fbeta_score.
class FBetaScore : public ClassScore {
 public:
  using Options = FBetaScoreOptions;
  /// Throws ConfigError unless beta is above 0 and finite.
  explicit FBetaScore(FBetaScoreOptions options = {});
  std::string name() const override { return "fbeta"; }
  Value settings() const override;

 protected:
  double score(const ClassCounts& counts) const override;

 private:
  double beta_;
};

struct F1ScoreOptions {
  /// As that of PrecisionScoreOptions.
  std::string average = "auto";
};
Fields describe(F1ScoreOptions& options);

/// FBetaScore with beta = 1. scikit-learn: f1_score.
class F1Score : public FBetaScore {
 public:
  using Options = F1ScoreOptions;
  explicit F1Score(F1ScoreOptions options = {}) : FBetaScore({.average = options.average}) {}
  std::string name() const override { return "f1"; }
  Value settings() const override { return ClassScore::settings(); }
};

struct ConfusionMatrixOptions {
  /// What elements are divided by: "none" nothing, "target" the rows of their class, "prediction"
  /// the rows that were predicted to be of their column's class, "all" all rows.
  std::string normalize = "none";
};
Fields describe(ConfusionMatrixOptions& options);

/// The confusion counts themselves, logged as <name>_<class>_<predicted class>. scikit-learn:
/// confusion_matrix.
class ConfusionMatrix : public ConfusionCounts {
 public:
  using Options = ConfusionMatrixOptions;
  /// Throws ConfigError for an unknown `normalize`.
  explicit ConfusionMatrix(ConfusionMatrixOptions options = {});
  /// [classes, classes] float64 on the CPU; undefined if there are no rows. Waits for the device.
  torch::Tensor matrix() const;
  std::vector<MetricValue> compute() const override;
  std::string name() const override { return "confusion_matrix"; }
  Value settings() const override;

 private:
  ConfusionMatrixOptions options_;
};

struct AccuracyOptions {
  /// A row is right if its class is among so many most likely ones.
  int64_t top_k = 1;
  /// "micro", the share of all rows; "macro", the mean of the shares of the classes that have rows;
  /// or "none", the share of each class's rows.
  std::string average = "micro";
};
Fields describe(AccuracyOptions& options);

/// The share of rows whose class is among the `top_k` most likely ones. Of equally likely classes,
/// lower ones come first. scikit-learn: accuracy_score, balanced_accuracy_score (macro),
/// top_k_accuracy_score.
class Accuracy : public ClassMetric {
 public:
  using Options = AccuracyOptions;
  /// Throws ConfigError for top_k below 1 and an unknown average.
  explicit Accuracy(AccuracyOptions options = {});
  std::vector<MetricValue> compute() const override;
  std::string name() const override { return "accuracy"; }
  Value settings() const override;

 protected:
  void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) override;

 private:
  AccuracyOptions options_;
  Average average_;
};

}  // namespace levin
