#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// The values of one metric over a run: pairs of (epoch, value), in the order of the file.
using Curve = std::vector<std::pair<double, double>>;

/// Reads the last value of a metric in each epoch from the text of a metrics.csv; empty cells, NaN
/// and infinities are left out. Throws ConfigError if there is no such column, naming the nearest
/// one, and DataError for a broken file.
Curve read_curve(std::string_view csv, std::string_view metric);

/// Returns the names of the metrics in a metrics.csv: its columns except epoch and step.
std::vector<std::string> metric_names(std::string_view csv);

/// Draws a curve as plain text: "*" is a value, and "." joins two of them. The area within the axes
/// is `width` by `height` characters, at least 2 lines. An empty curve gives one line that says so.
std::string draw_chart(std::string_view metric, const Curve& curve, int width = 64,
                       int height = 16);

/// Returns the text of `levin plot RUN`, a chart for each of `metrics`. `run` is a run folder or a
/// metrics.csv. If `metrics` is empty, draws val_acc, or else val_loss, or else the first metric.
/// Throws CheckpointError if the file can't be read, DataError if it has no metric, and what
/// read_curve throws.
std::string plot_run(const std::filesystem::path& run, std::vector<std::string> metrics);

}  // namespace levin
