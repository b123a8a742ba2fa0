#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/metrics/class_metric.h>

namespace levin {

// Metrics of how well probabilities fit. Their sums over rows are never rounded (exact_sums.h), so
// that they have the same bits for any batches and ranks.

/// The mean of a number of each row.
class RowMean : public ClassMetric {
 public:
  RowMean() { name_sum("sums"); }
  std::vector<MetricValue> compute() const override;

 protected:
  /// The number of each row, [rows] float64.
  virtual torch::Tensor of_rows(const ClassPredictions& predictions,
                                const torch::Tensor& targets) const = 0;
  void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) override;
};

/// The mean of -log p, where p is the probability of the row's class. Probabilities below the
/// epsilon of their type count as the epsilon; logits are never rounded to that. scikit-learn:
/// log_loss.
class LogLoss : public RowMean {
 public:
  std::string name() const override { return "log_loss"; }

 protected:
  torch::Tensor of_rows(const ClassPredictions& predictions,
                        const torch::Tensor& targets) const override {
    return predictions.log_losses(targets);
  }
};

/// The mean square of the probabilities' distance from the truth: of two classes (p - y)^2, where p
/// is the probability of class 1 and y is 1 for rows of it and else 0, and of more the sum of that
/// over the classes. scikit-learn: brier_score_loss.
class BrierScore : public RowMean {
 public:
  std::string name() const override { return "brier"; }

 protected:
  torch::Tensor of_rows(const ClassPredictions& predictions,
                        const torch::Tensor& targets) const override;
};

struct CalibrationErrorOptions {
  /// The number of intervals of the same length between 0 and 1.
  int64_t n_bins = 15;
  /// How the errors of intervals become one: "l1" the mean, "l2" the root of the mean square, each
  /// weighted by the rows in the interval, or "max" the largest.
  std::string norm = "l1";
};
Fields describe(CalibrationErrorOptions& options);

/// The expected calibration error: rows are put into intervals by their confidence, and the error
/// of an interval is the distance between the mean confidence of its rows and the share of them
/// that are right. The confidence of a row is the largest probability, and it is right if that is
/// the one of its class; of two classes it is the probability of class 1, and "right" means to be
/// of class 1. A confidence of 1 has an interval of its own. torchmetrics: CalibrationError.
class CalibrationError : public ClassMetric {
 public:
  using Options = CalibrationErrorOptions;
  /// Throws ConfigError for less than one interval and an unknown norm.
  explicit CalibrationError(CalibrationErrorOptions options = {});
  std::vector<MetricValue> compute() const override;
  std::string name() const override { return "calibration_error"; }
  Value settings() const override;

 protected:
  void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                   const torch::Tensor& weights) override;

 private:
  CalibrationErrorOptions options_;
};

}  // namespace levin
