#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/optimizers/schedules.h>
#include <levin/framework/precision/gradient_scaler.h>

// Where logged values go. While a loop passes over its data, `log` collects values in a
// LoggedValues. These functions hand them on: to the loggers after a step, and after the pass to
// the Run, which shows them to callbacks, to the loggers and to the learning-rate schedulers that
// watch a metric.

namespace levin {

/// Warns if an epoch of `batches` batches has fewer optimizer steps than `log_every_n_steps`, so
/// that some epochs have no row of the loggers, and if a logger would keep such rows. To be called
/// before training. Lightning: _FitLoop.setup_data.
void warn_of_short_epochs(const LoopParts& parts, std::optional<int64_t> batches);

/// Warns if the module is in evaluation mode. To be called before training.
void warn_of_evaluation_mode(const LoopParts& parts);

/// Warns of values of steps in `metrics` of which no row of the loggers has had any. To be called
/// after training. Says nothing if there were to be no rows, if no logger would keep them, or if
/// warn_of_short_epochs has warned.
void warn_of_lost_values(const LoopParts& parts, const LoggedValues& metrics);

/// Warns that a fit that was resumed has trained nothing, because `reason`, an option or what a
/// callback has said if `is_requested`, ends it where its checkpoint was taken.
void warn_that_nothing_was_trained(const LoopParts& parts, const std::string& reason,
                                   bool is_requested);

/// Logs, at the end of a training epoch, the scale of the losses as "loss_scale", and as
/// "skipped_steps" how many steps of the fit were left out because gradients weren't finite. Waits
/// for the device.
void log_scale(const LoopParts& parts, const GradientScaler& scaler);

/// Hands `values` to every logger, as a row for step `step` of that epoch. Does nothing if there
/// are none.
void log_row(const LoopParts& parts, const MetricMap& values, int64_t epoch, int64_t step);

/// Hands the values of the step just done to every logger, as a row for step `step`, and with them
/// the latest values of the steps since the last row. Does nothing if there are none. Waits for the
/// device if values are on one.
void log_step_values(const LoopParts& parts, LoggedValues& metrics, int64_t step);

/// Ends a pass over data: combines the values collected in it over all ranks, and makes
/// Run::metrics and Run::progress_bar_metrics show them. Returns those that callbacks see. A
/// collective.
MetricMap publish_epoch_values(const LoopParts& parts, LoggedValues& metrics);

/// Hands the values of a pass to every logger, as a row for the last optimizer step. Does nothing
/// if there are none.
void log_epoch_values(const LoopParts& parts, LoggedValues& metrics);

/// Tells the Run's metrics to the schedulers that watch a metric and act once in each `interval`.
/// They act on values that are new to them. All ranks use the metrics of rank 0, so that their
/// learning rates stay equal; every rank has to call this. `complete` says that every metric of
/// this fit has been logged by now; then ModuleError is thrown if one that a strict scheduler
/// watches is missing.
void observe_metrics(const LoopParts& parts, Schedules& schedules, Interval interval,
                     bool complete);

}  // namespace levin
