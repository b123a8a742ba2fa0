#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/plots/line_plot.h>

namespace levin {

/// What is drawn of a run's metrics.
struct RunMetrics {
  /// What the legend calls the run. It isn't shown if there is only one.
  std::string name{};
  /// The text of its metrics.csv.
  std::string csv{};
};

/// Returns a plot over epochs for each metric that the runs have measured while they trained, for
/// draw_lines. Training and validation share a plot: "train_loss" and "val_loss" are the dashed and
/// the solid curve of "loss", which comes first. Each run has a colour. Without `metrics`, the
/// plots are those of all metrics with such names except steps' and tests', eight at most, or of
/// the first metric if there are none. Throws what read_curve throws, and ConfigError for a metric
/// that no run has, naming the nearest.
///
///     levin::draw_lines("digits", levin::metric_plots({{"", csv}}));
std::vector<LinePlot> metric_plots(const std::vector<RunMetrics>& runs,
                                   const std::vector<std::string>& metrics = {});

/// Returns a plot of the learning rates over steps, as the callback LearningRateMonitor logs them:
/// the metrics whose names begin with "lr-". Empty if no run has any.
std::vector<LinePlot> learning_rate_plots(const std::vector<RunMetrics>& runs);

/// The metrics by which charts and tables show runs unless they are told others: "val_acc", or else
/// "val_loss", or else the first one. Empty if there are no metrics.
std::string usual_metric(const std::vector<std::string>& names);

}  // namespace levin
