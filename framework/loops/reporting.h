#pragma once

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/optimizers/schedules.h>

// Where logged values go. While a loop passes over its data, `log` collects values in a
// LoggedValues. These functions hand them on: to the loggers after a step, and after the pass to
// the Run, which shows them to callbacks, to the loggers and to the learning-rate schedulers that
// watch a metric.

namespace levin {

/// Hands the values of the step just done to every logger as a row of step `step`; does nothing if
/// the step logged none.
void log_step_values(const LoopParts& parts, LoggedValues& metrics, int64_t step);

/// Ends a pass over data: combines the values collected during it over all ranks, and lets
/// Run::metrics and Run::progress_bar_metrics show them. Returns those that callbacks see. All
/// ranks have to call this together.
MetricMap publish_epoch_values(const LoopParts& parts, LoggedValues& metrics);

/// Hands the values of a pass to every logger, as a row of the last optimizer step; does nothing if
/// there are none.
void log_epoch_values(const LoopParts& parts, LoggedValues& metrics);

/// Tells the schedulers that watch a metric, and act once in each `interval`, what the Run's
/// metrics are. All ranks use those of rank 0, so that their learning rates stay equal. Throws
/// ModuleError if a metric is missing that a strict scheduler watches.
void observe_metrics(const LoopParts& parts, Schedules& schedules, Interval interval);

/// Metrics as a value of a checkpoint, and back.
Value to_value(const MetricMap& metrics);
MetricMap to_metrics(const Value& object);

}  // namespace levin
