#pragma once

#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/metrics/class_metric.h>
#include <levin/framework/metrics/regression_metrics.h>
#include <levin/framework/run/step.h>

namespace levin {

/// The metrics that a model's setting `metrics` names, which it logs in validation and test, such
/// as val_f1 and test_f1. They are those of `known_metrics` (framework/metrics/metric_list.h), by
/// name or with settings:
///
///     metrics: [accuracy, f1, {name: fbeta, beta: 2, average: macro}]
///
/// Two more settings are those of every metric: `as`, the name that it is logged as, by default its
/// own; and `weights`, whether the weights of the rows count, by default not, because weights are
/// mostly meant for training.
template <class Kind>
class EvaluationMetrics {
 public:
  /// `kind`, such as "classes", is what the metrics have to be of. Throws ConfigError for unknown
  /// names and settings, metrics of another kind, and two that are logged as the same.
  EvaluationMetrics(const std::vector<NamedSettings>& chosen, std::string_view kind);

  bool is_empty() const { return metrics_.empty(); }
  /// Calls `update(metric, weights)` of each metric, which has to add the rows of a batch to it,
  /// and logs it, for validation or a test. `weights`: those of the rows, or undefined; a metric
  /// gets them if it wants them.
  template <class Update>
  void log(Step& step, bool is_test, const torch::Tensor& weights, const Update& update) {
    for (auto& one : metrics_) {
      update(*one.metric, one.has_weights ? weights : torch::Tensor());
      step.log(is_test ? one.test_name : one.val_name, *one.metric, {.prog_bar = one.is_shown});
    }
  }
  /// Calls `function(metric)` for each metric.
  template <class Function>
  void for_each(const Function& function) {
    for (auto& one : metrics_) function(*one.metric);
  }

 private:
  struct One {
    std::unique_ptr<Kind> metric;
    std::string val_name;
    std::string test_name;
    bool has_weights;
    bool is_shown;  // in the progress bar, if it is a single number
  };
  std::vector<One> metrics_;
};

extern template class EvaluationMetrics<ClassMetric>;
extern template class EvaluationMetrics<RegressionMetric>;

}  // namespace levin
