#include <levin/framework/metrics/metric_list.h>

#include <levin/framework/core/joined_lists.h>
#include <levin/framework/metrics/class_scores.h>
#include <levin/framework/metrics/probability_metrics.h>
#include <levin/framework/metrics/ranking.h>
#include <levin/framework/metrics/regression_metrics.h>

namespace levin {

const MetricList& shipped_metrics() {
  static const MetricList list = [] {
    MetricList metrics("metric");
    metrics.add<Accuracy>("accuracy", "share of rows whose class is among the top_k likeliest");
    metrics.add<PrecisionScore>("precision",
                                "share of right rows among those predicted of a class");
    metrics.add<RecallScore>("recall", "share of a class's rows that are predicted to be of it");
    metrics.add<F1Score>("f1", "harmonic mean of precision and recall");
    metrics.add<FBetaScore>("fbeta", "the same, with recall counting beta times as much");
    metrics.add<Auroc>("auroc", "area under the ROC curve");
    metrics.add<AveragePrecision>("average_precision", "area under the precision-recall curve");
    metrics.add<ConfusionMatrix>("confusion_matrix", "rows of each class predicted as each class");
    metrics.add<LogLoss>("log_loss", "mean -log of the probability of the row's class");
    metrics.add<BrierScore>("brier", "mean squared distance of probabilities from the truth");
    metrics.add<CalibrationError>("calibration_error", "distance of confidences from accuracies");
    metrics.add<MeanSquaredError>("mse", "mean squared error");
    metrics.add<MeanAbsoluteError>("mae", "mean absolute error");
    metrics.add<R2Score>("r2", "share of the variance that is explained");
    return metrics;
  }();
  return list;
}

MetricList& added_metrics() {
  static MetricList list("metric");
  return list;
}

MetricList known_metrics() { return joined_lists(shipped_metrics(), added_metrics()); }

}  // namespace levin
