#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// The values of one metric over a run: pairs of (epoch or step, value), in the order of the file.
using Curve = std::vector<std::pair<double, double>>;

/// Reads the last value of a metric in each epoch from the text of a metrics.csv; empty cells, NaN
/// and infinities are left out. Throws ConfigError if there is no such column, naming the nearest
/// one, and DataError for a broken file.
Curve read_curve(std::string_view csv, std::string_view metric);
/// The same with NaN and infinities; only empty cells are left out.
Curve read_whole_curve(std::string_view csv, std::string_view metric);
/// As read_curve, for each step.
Curve read_step_curve(std::string_view csv, std::string_view metric);

/// Returns the names of the metrics in a metrics.csv: its columns except epoch and step.
std::vector<std::string> metric_names(std::string_view csv);

}  // namespace levin
