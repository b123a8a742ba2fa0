#include <levin/cli/plot.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

/// What a message about a metrics.csv without metrics ends with.
constexpr const char* kNoMetrics = "plot a run that has logged a metric";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> lines_of(std::string_view csv) {
  auto lines = split(csv, '\n');
  std::erase_if(lines, [](std::string_view line) { return line.empty(); });
  return lines;
}

/// Returns the number in a cell, or NaN if the cell is empty. `column` is the column's name.
double number(std::string_view cell, size_t line, std::string_view column) {
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

/// Maps [low, high] to the cells 0 ... cells - 1.
int cell(double value, double low, double high, int cells) {
  if (high <= low) return cells / 2;
  return static_cast<int>(std::lround((value - low) / (high - low) * (cells - 1)));
}

/// Draws the points and the lines that join them into `height` lines of `width` characters.
std::vector<std::string> draw_points(const Curve& curve, double low, double high, int width,
                                     int height) {
  std::vector<std::string> rows(static_cast<size_t>(height),
                                std::string(static_cast<size_t>(width), ' '));
  const auto put = [&](int x, int y, char mark) {
    char& place = rows[static_cast<size_t>(height - 1 - y)][static_cast<size_t>(x)];
    if (place != '*') place = mark;
  };
  int last_x = -1;
  int last_y = 0;
  for (const auto& [epoch, value] : curve) {
    const int x = cell(epoch, curve.front().first, curve.back().first, width);
    const int y = cell(value, low, high, height);
    for (int between = last_x + 1; last_x >= 0 && between < x; ++between) {
      const double share = static_cast<double>(between - last_x) / (x - last_x);
      put(between, last_y + static_cast<int>(std::lround(share * (y - last_y))), '.');
    }
    put(x, y, '*');
    last_x = x;
    last_y = y;
  }
  return rows;
}

std::string epoch_axis(const Curve& curve, int width, size_t margin) {
  const std::string first = fmt::format("{:g}", curve.front().first);
  const std::string last = fmt::format("{:g}", curve.back().first);
  const std::string name = "epoch";
  std::string line(static_cast<size_t>(width), ' ');
  line.replace(0, first.size(), first);
  line.replace((line.size() - name.size()) / 2, name.size(), name);
  if (curve.size() > 1) line.replace(line.size() - last.size(), last.size(), last);
  return std::string(margin + 3, ' ') + line + "\n";
}

}  // namespace

std::vector<std::string> metric_names(std::string_view csv) {
  std::vector<std::string> names;
  const auto lines = lines_of(csv);
  if (lines.empty()) return names;
  for (const auto name : split(lines.front(), ',')) {
    if (name != "epoch" && name != "step") names.emplace_back(name);
  }
  return names;
}

Curve read_curve(std::string_view csv, std::string_view metric) {
  const auto lines = lines_of(csv);
  if (lines.empty()) throw DataError::empty("metrics.csv", kNoMetrics);
  const auto header = split(lines.front(), ',');
  const size_t epoch_column = column_of(header, "epoch");
  const size_t column = column_of(header, metric);
  Curve curve;
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto cells = split(lines[i], ',');
    if (cells.size() != header.size()) {
      throw DataError::corrupt(
          "metrics.csv", fmt::format("line {} has {} cells, but the header has {}; remove the line",
                                     i + 1, cells.size(), header.size()));
    }
    const double value = number(cells[column], i + 1, metric);
    const double epoch = number(cells[epoch_column], i + 1, "epoch");
    if (!std::isfinite(value) || !std::isfinite(epoch)) continue;
    if (!curve.empty() && curve.back().first == epoch) curve.pop_back();
    curve.emplace_back(epoch, value);
  }
  return curve;
}

std::string draw_chart(std::string_view metric, const Curve& curve, int width, int height) {
  if (curve.empty()) return fmt::format("{}: no values yet\n", metric);
  const auto by_value = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [least, most] = std::minmax_element(curve.begin(), curve.end(), by_value);
  const double low = least->second;
  const double high = most->second;
  std::string chart = fmt::format(
      "{}: {:.4g} in epoch {:g}, lowest {:.4g} in epoch {:g}, highest {:.4g} in epoch {:g}\n\n",
      metric, curve.back().second, curve.back().first, low, least->first, high, most->first);

  const auto rows = draw_points(curve, low, high, width, height);
  std::vector<std::string> labels(rows.size());
  for (size_t i = 0; i < rows.size(); i += 5) {
    const double share = 1.0 - static_cast<double>(i) / static_cast<double>(rows.size() - 1);
    labels[i] = fmt::format("{:.4g}", low + share * (high - low));
  }
  size_t margin = 0;
  for (const auto& label : labels) margin = std::max(margin, label.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string_view row =
        std::string_view(rows[i]).substr(0, rows[i].find_last_not_of(' ') + 1);
    chart += fmt::format("{:>{}} |{}{}\n", labels[i], margin, row.empty() ? "" : " ", row);
  }
  chart += std::string(margin + 1, ' ') + "+" + std::string(static_cast<size_t>(width) + 1, '-');
  return chart + "\n" + epoch_axis(curve, width, margin);
}

std::string plot_run(const std::filesystem::path& run, std::vector<std::string> metrics) {
  const auto file = files::is_folder(run) ? run / "metrics.csv" : run;
  const std::string csv = files::read_text(file);
  if (metrics.empty()) {
    const auto names = metric_names(csv);
    if (names.empty()) {
      throw DataError(fmt::format("{} holds no metrics; {}", file.string(), kNoMetrics));
    }
    metrics = {names.front()};
    for (const char* usual : {"val_loss", "val_acc"}) {
      if (std::find(names.begin(), names.end(), usual) != names.end()) metrics = {usual};
    }
  }
  std::string charts;
  for (const auto& metric : metrics) {
    charts += (charts.empty() ? "" : "\n") + draw_chart(metric, read_curve(csv, metric));
  }
  return charts;
}

}  // namespace levin
