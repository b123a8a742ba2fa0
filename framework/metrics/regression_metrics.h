#pragma once

#include <string>
#include <vector>

#include <levin/framework/metrics/metric.h>

namespace levin {

/// A metric of predicted values: `update` takes predictions and targets [rows] or [rows, outputs].
/// The sums over rows are never rounded (exact_sums.h), so that a metric has the same bits for any
/// batches and ranks. Of several outputs, metrics are means over the outputs.
class RegressionMetric : public Metric {
 protected:
  RegressionMetric() { name_sum("sums"); }
  /// Adds rows: both [rows, outputs] float64, and `weights` [rows, 1] float64, or undefined if each
  /// counts 1.
  virtual void add_values(const torch::Tensor& predictions, const torch::Tensor& targets,
                          const torch::Tensor& weights) = 0;

 private:
  void add(const torch::Tensor& predictions, const torch::Tensor& targets,
           const torch::Tensor& weights) final;
};

/// The mean of a function of the error over rows and outputs.
class ErrorMean : public RegressionMetric {
 public:
  std::vector<MetricValue> compute() const override;

 protected:
  /// The function, elementwise.
  virtual torch::Tensor of_errors(const torch::Tensor& errors) const = 0;
  void add_values(const torch::Tensor& predictions, const torch::Tensor& targets,
                  const torch::Tensor& weights) override;
};

/// The mean squared error. scikit-learn: mean_squared_error.
class MeanSquaredError : public ErrorMean {
 public:
  std::string name() const override { return "mse"; }

 protected:
  torch::Tensor of_errors(const torch::Tensor& errors) const override;
};

/// The mean absolute error. scikit-learn: mean_absolute_error.
class MeanAbsoluteError : public ErrorMean {
 public:
  std::string name() const override { return "mae"; }

 protected:
  torch::Tensor of_errors(const torch::Tensor& errors) const override;
};

/// The coefficient of determination
///
///     R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of y)^2
///
/// of each output, and of several outputs the mean. If all values of an output are the same, its
/// R^2 is 1 if the predictions are exact, and else 0. One row alone has none. scikit-learn:
/// r2_score.
///
/// The mean of y is known only at the end. The sums of y and y^2 are kept without rounding, so that
/// their difference has all its digits however large the mean is.
class R2Score : public RegressionMetric {
 public:
  R2Score() { name_sum("rows"); }
  std::vector<MetricValue> compute() const override;
  std::string name() const override { return "r2"; }

 protected:
  void add_values(const torch::Tensor& predictions, const torch::Tensor& targets,
                  const torch::Tensor& weights) override;
};

}  // namespace levin
