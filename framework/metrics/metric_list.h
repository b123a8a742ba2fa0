#pragma once

#include <levin/framework/core/class_list.h>
#include <levin/framework/metrics/metric.h>

namespace levin {

/// Metric classes by name; a metric is made from its settings alone:
///
///     auto metric = levin::shipped_metrics().make("fbeta", levin::Value::Object{{"beta", 2.0}});
using MetricList = ClassList<Metric>;

/// The metrics that Levin ships, which the setting `metrics` of models can name. This list is the
/// only place that names them.
const MetricList& shipped_metrics();

}  // namespace levin
