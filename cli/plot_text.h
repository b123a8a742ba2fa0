#pragma once

#include <string>
#include <vector>

#include <levin/cli/run_predictions.h>
#include <levin/framework/plots/line_plot.h>
#include <levin/framework/plots/phase_plot.h>
#include <levin/framework/plots/run_plots.h>

namespace levin {

// The pictures of `levin plot` as text. Charts are as wide as the terminal, if stdout is one.

/// A chart for each of `metrics`, with all runs that have it. Without `metrics`, that of the usual
/// metric. Throws ConfigError for a metric that no run has, naming the nearest.
std::string chart_text(const std::vector<RunMetrics>& runs, std::vector<std::string> metrics);

/// A chart of the curves of a plot.
std::string line_plot_text(const LinePlot& plot);

/// A table of the counts: a row for each class, a column for each predicted class.
std::string confusion_text(const RunPredictions& predictions);

/// The names of the curves, which tell the areas below them.
std::string roc_text(const LinePlot& plot);

/// A table of the parts of a run, with their seconds and shares; with several ranks or runs, one
/// that has a row for each rank and a column for the seconds of each part.
std::string phases_text(const std::vector<RunPhases>& runs);

}  // namespace levin
