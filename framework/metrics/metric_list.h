#pragma once

#include <levin/framework/core/class_list.h>
#include <levin/framework/metrics/metric.h>

namespace levin {

/// Metric classes by name; a metric is made from its settings alone:
///
///     auto metric = levin::shipped_metrics().make("fbeta", levin::Value::Object{{"beta", 2.0}});
using MetricList = ClassList<Metric>;

/// The metrics that Levin ships. This list is the only place that names them.
const MetricList& shipped_metrics();
/// The metrics that the process has besides; see Registry::metrics. Empty at first. Add to it
/// before the first model is made, on one thread.
MetricList& added_metrics();
/// The metrics that the setting `metrics` of models can name: the shipped ones and the added ones.
MetricList known_metrics();

}  // namespace levin
