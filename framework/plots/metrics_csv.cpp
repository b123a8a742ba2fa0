#include <levin/framework/plots/metrics_csv.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

/// What a message about a metrics.csv without metrics ends with.
constexpr const char* kNoMetricsHint = "plot a run that has logged a metric";

std::vector<std::string_view> split_csv(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> csv_lines(std::string_view csv) {
  auto lines = split_csv(csv, '\n');
  std::erase_if(lines, [](std::string_view line) { return line.empty(); });
  return lines;
}

/// Returns the number in a cell, or NaN if the cell is empty. `column` is the column's name.
double number_of_cell(std::string_view cell, size_t line, std::string_view column) {
  if (cell.empty()) return std::nan("");
  if (const auto value = number_in<double>(cell)) return *value;
  throw DataError::bad_value("the cell", fmt::format("'{}'", cell),
                             fmt::format("metrics.csv, line {}, column {}", line, column),
                             "it must be a number or empty. Correct it, or remove the line.");
}

size_t column_of(const std::vector<std::string_view>& header, std::string_view name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) {
    throw ConfigError::unknown_name("metric", name, {header.begin(), header.end()});
  }
  return static_cast<size_t>(found - header.begin());
}

/// Returns the last value of `metric` for each number in the column `along`, among finite ones only
/// or among all.
Curve curve_along(std::string_view csv, std::string_view metric, std::string_view along,
                  bool only_finite = true) {
  const auto lines = csv_lines(csv);
  if (lines.empty()) throw DataError::empty("metrics.csv", kNoMetricsHint);
  const auto header = split_csv(lines.front(), ',');
  const size_t along_column = column_of(header, along);
  const size_t column = column_of(header, metric);
  Curve curve;
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto cells = split_csv(lines[i], ',');
    if (cells.size() != header.size()) {
      throw DataError::corrupt(
          "metrics.csv", fmt::format("line {} has {} cells, but the header has {}; remove the line",
                                     i + 1, cells.size(), header.size()));
    }
    const double value = number_of_cell(cells[column], i + 1, metric);
    const double place = number_of_cell(cells[along_column], i + 1, along);
    const bool counts = only_finite ? std::isfinite(value) : !cells[column].empty();
    if (!counts || !std::isfinite(place)) continue;
    if (!curve.empty() && curve.back().first == place) curve.pop_back();
    curve.emplace_back(place, value);
  }
  return curve;
}

}  // namespace

std::vector<std::string> metric_names(std::string_view csv) {
  std::vector<std::string> names;
  const auto lines = csv_lines(csv);
  if (lines.empty()) return names;
  for (const auto name : split_csv(lines.front(), ',')) {
    if (name != "epoch" && name != "step") names.emplace_back(name);
  }
  return names;
}

Curve read_curve(std::string_view csv, std::string_view metric) {
  return curve_along(csv, metric, "epoch");
}

Curve read_whole_curve(std::string_view csv, std::string_view metric) {
  return curve_along(csv, metric, "epoch", /*only_finite=*/false);
}

Curve read_step_curve(std::string_view csv, std::string_view metric) {
  return curve_along(csv, metric, "step");
}

}  // namespace levin
