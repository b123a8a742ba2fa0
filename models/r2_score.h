#pragma once

#include <cstdint>

#include <levin/framework/run/run.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The coefficient of determination over all rows of an epoch, batches and ranks:
///
///     R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of y)^2
///
/// of each output, and of several outputs the mean. If all values of an output are the same, its
/// R^2 is 1 if the predictions are exact, and else 0. scikit-learn: r2_score.
///
/// The mean of y is known only at the end, so a mean over batches wouldn't do. The deviations from
/// the mean are added up batch by batch (Chan, Golub, LeVeque; doi:10.1080/00031305.1983.10483115),
/// in float64 and on the device, and don't lose digits if the mean is large.
class R2Score {
 public:
  /// Forgets all rows.
  void reset() { count_ = 0; }
  /// Adds rows: `prediction` and `target` are [rows, outputs].
  void add(const torch::Tensor& prediction, const torch::Tensor& target);
  /// Returns R^2 of all rows of all ranks, which all have to call this. `outputs`: their number,
  /// which a rank without rows doesn't know.
  double value(Run& run, int64_t outputs) const;

 private:
  int64_t count_ = 0;
  // [outputs] float64 each:
  torch::Tensor mean_;        // of the targets
  torch::Tensor deviations_;  // sum of (y - mean)^2
  torch::Tensor errors_;      // sum of (y - prediction)^2
};

}  // namespace levin
