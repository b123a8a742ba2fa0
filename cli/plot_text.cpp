#include <levin/cli/plot_text.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/aligned_rows.h>
#include <levin/framework/core/error.h>
#include <levin/framework/plots/metrics_csv.h>
#include <levin/framework/plots/svg.h>
#include <levin/framework/plots/text_chart.h>

namespace levin {
namespace {

/// What a chart needs beside the area within its axes.
constexpr int kChartMargin = 14;

ChartArea terminal_area() {
  ChartArea area;
  struct ::winsize size {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    area.width = std::clamp(static_cast<int>(size.ws_col) - kChartMargin, 20, 200);
  }
  return area;
}

std::vector<std::string> names_of_all(const std::vector<RunMetrics>& runs) {
  std::vector<std::string> all;
  for (const auto& run : runs) {
    for (auto& name : metric_names(run.csv)) {
      if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(std::move(name));
    }
  }
  return all;
}

std::string chart_of_metric(const std::vector<RunMetrics>& runs, const std::string& metric) {
  if (runs.size() == 1) {
    return draw_chart(metric, read_curve(runs.front().csv, metric), terminal_area());
  }
  std::vector<ChartCurve> curves;
  for (const auto& run : runs) {
    const auto names = metric_names(run.csv);
    const bool has_metric = std::find(names.begin(), names.end(), metric) != names.end();
    curves.push_back({run.name, has_metric ? read_curve(run.csv, metric) : Curve()});
  }
  return draw_common_chart(metric, curves, terminal_area());
}

}  // namespace

std::string chart_text(const std::vector<RunMetrics>& runs, std::vector<std::string> metrics) {
  const auto known = names_of_all(runs);
  if (metrics.empty()) metrics = {usual_metric(known)};
  std::string charts;
  for (const auto& metric : metrics) {
    if (std::find(known.begin(), known.end(), metric) == known.end()) {
      throw ConfigError::unknown_name("metric", metric, known);
    }
    charts += (charts.empty() ? "" : "\n") + chart_of_metric(runs, metric);
  }
  return charts;
}

std::string line_plot_text(const LinePlot& plot) {
  std::vector<ChartCurve> curves;
  for (const auto& line : plot.lines) curves.push_back({line.name, line.points});
  ChartArea area = terminal_area();
  area.x_label = plot.x_label;
  return draw_common_chart(plot.y_label, curves, area);
}

std::string confusion_text(const RunPredictions& predictions) {
  const auto name_of = [&](size_t i) {
    return i < predictions.class_names.size() ? predictions.class_names[i] : std::to_string(i);
  };
  std::vector<std::vector<std::string>> rows = {{"class \\ predicted"}};
  for (size_t i = 0; i < predictions.confusion.size(); ++i) {
    rows.front().push_back(name_of(i));
    rows.push_back({name_of(i)});
    for (const double count : predictions.confusion[i]) rows.back().push_back(svg::number(count));
  }
  return aligned_rows(rows);
}

std::string roc_text(const LinePlot& plot) {
  std::string text;
  for (const auto& line : plot.lines) text += line.name + "\n";
  return text;
}

std::string phases_text(const std::vector<RunPhases>& runs) {
  std::vector<std::vector<std::string>> rows;
  if (runs.size() == 1 && runs.front().ranks.size() == 1) {
    const PhaseSeconds& phases = runs.front().ranks.front().seconds;
    const double whole = seconds_of_all(phases);
    rows = {{"phase", "seconds", "%"}};
    for (const auto& [name, seconds] : phases) {
      rows.push_back({name, fmt::format("{:.3f}", seconds),
                      fmt::format("{:.1f}", whole > 0.0 ? 100.0 * seconds / whole : 0.0)});
    }
    return aligned_rows(rows);
  }
  const auto names = phase_names(runs);
  rows = {{"seconds"}};
  rows.front().insert(rows.front().end(), names.begin(), names.end());
  for (const auto& run : runs) {
    for (const auto& rank : run.ranks) {
      rows.push_back(
          {fmt::format("{}{}rank {}", run.name, run.name.empty() ? "" : ", ", rank.rank)});
      for (const auto& name : names) {
        const auto seconds = seconds_of_part(rank.seconds, name);
        rows.back().push_back(seconds ? fmt::format("{:.3f}", *seconds) : "-");
      }
    }
  }
  return aligned_rows(rows);
}

}  // namespace levin
