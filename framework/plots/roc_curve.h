#pragma once

#include <utility>
#include <vector>

namespace levin {

/// A ROC curve: how many rows are found, given how many others are taken for them.
struct RocCurve {
  /// Pairs of the false and the true positive rate, from (0, 0) to (1, 1), one for each different
  /// score; points within a straight part are left out. Empty if there is no positive or no
  /// negative row.
  std::vector<std::pair<double, double>> points{};
  /// The area under the curve; NaN if there is none.
  double area = 0.0;
};

/// Returns the curve of rows that are said to be positive if their score is at least a threshold,
/// over all thresholds. Both arguments have an element for each row; scores are no NaNs.
/// scikit-learn: roc_curve and roc_auc_score.
RocCurve roc_curve(const std::vector<double>& scores, const std::vector<bool>& positive);

/// Returns the mean of curves: at each false positive rate, the mean of their true positive rates.
/// Its area is the mean of their areas. Curves without points are left out; without any others, it
/// has none either. scikit-learn: "macro-average ROC curve" of several classes.
RocCurve mean_roc_curve(const std::vector<RocCurve>& curves);

}  // namespace levin
