#include <levin/framework/plots/text_chart.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace levin {
namespace {

constexpr std::string_view kChartMarks = "*o+x#@%&";

/// What the values of curves lie between.
struct ChartBounds {
  double first = std::numeric_limits<double>::infinity();  // along the lower axis
  double last = -first;
  double low = first;
  double high = -first;
};

ChartBounds bounds_of(const std::vector<ChartCurve>& curves) {
  ChartBounds bounds;
  for (const auto& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      bounds.first = std::min(bounds.first, x);
      bounds.last = std::max(bounds.last, x);
      bounds.low = std::min(bounds.low, y);
      bounds.high = std::max(bounds.high, y);
    }
  }
  return bounds;
}

/// Maps [low, high] to the cells 0 ... cells - 1.
int chart_cell(double value, double low, double high, int cells) {
  if (high <= low) return cells / 2;
  return static_cast<int>(std::lround((value - low) / (high - low) * (cells - 1)));
}

/// Draws the points and the dots that join them into lines of characters. Dots cover nothing, and
/// points only dots.
void draw_points(std::vector<std::string>& rows, const Curve& curve, char point,
                 const ChartBounds& bounds) {
  const int height = static_cast<int>(rows.size());
  const int width = static_cast<int>(rows.front().size());
  const auto put = [&](int x, int y, char mark) {
    char& place = rows[static_cast<size_t>(height - 1 - y)][static_cast<size_t>(x)];
    if (place == ' ' || (place == '.' && mark != '.')) place = mark;
  };
  int last_x = -1;
  int last_y = 0;
  for (const auto& [along, value] : curve) {
    const int x = chart_cell(along, bounds.first, bounds.last, width);
    const int y = chart_cell(value, bounds.low, bounds.high, height);
    for (int between = last_x + 1; last_x >= 0 && between < x; ++between) {
      const double share = static_cast<double>(between - last_x) / (x - last_x);
      put(between, last_y + static_cast<int>(std::lround(share * (y - last_y))), '.');
    }
    put(x, y, point);
    last_x = x;
    last_y = y;
  }
}

std::string draw_lower_axis(const ChartBounds& bounds, const ChartArea& area, size_t margin) {
  const std::string first = fmt::format("{:g}", bounds.first);
  const std::string last = fmt::format("{:g}", bounds.last);
  std::string line(static_cast<size_t>(area.width), ' ');
  line.replace(0, first.size(), first);
  line.replace((line.size() - area.x_label.size()) / 2, area.x_label.size(), area.x_label);
  if (bounds.last > bounds.first) line.replace(line.size() - last.size(), last.size(), last);
  return std::string(margin + 3, ' ') + line + "\n";
}

std::string summary_of(std::string_view name, const Curve& curve, std::string_view along) {
  if (curve.empty()) return fmt::format("{}: no finite values yet\n", name);
  const auto by_value = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [least, most] = std::minmax_element(curve.begin(), curve.end(), by_value);
  return fmt::format(
      "{0}: {2:.4g} in {1} {3:g}, lowest {4:.4g} in {1} {5:g}, highest {6:.4g} in "
      "{1} {7:g}\n",
      name, along, curve.back().second, curve.back().first, least->second, least->first,
      most->second, most->first);
}

}  // namespace

std::string draw_common_chart(std::string_view metric, const std::vector<ChartCurve>& curves,
                              const ChartArea& area) {
  std::string chart;
  if (curves.size() == 1 && curves.front().name.empty()) {
    chart = summary_of(metric, curves.front().points, area.x_label);
  } else {
    chart = fmt::format("{}\n", metric);
    for (size_t i = 0; i < curves.size(); ++i) {
      chart += fmt::format("{} {}", kChartMarks[i % kChartMarks.size()],
                           summary_of(curves[i].name, curves[i].points, area.x_label));
    }
  }
  const ChartBounds bounds = bounds_of(curves);
  if (bounds.last < bounds.first) return chart;
  chart += '\n';
  std::vector<std::string> rows(static_cast<size_t>(area.height),
                                std::string(static_cast<size_t>(area.width), ' '));
  for (size_t i = 0; i < curves.size(); ++i) {
    draw_points(rows, curves[i].points, kChartMarks[i % kChartMarks.size()], bounds);
  }
  std::vector<std::string> labels(rows.size());
  if (bounds.high <= bounds.low) {  // all values are in the middle
    labels[rows.size() - 1 - rows.size() / 2] = fmt::format("{:.4g}", bounds.low);
  }
  for (size_t i = 0; bounds.high > bounds.low && i < rows.size(); i += 5) {
    const double share = 1.0 - static_cast<double>(i) / static_cast<double>(rows.size() - 1);
    labels[i] = fmt::format("{:.4g}", bounds.low + share * (bounds.high - bounds.low));
  }
  size_t margin = 0;
  for (const auto& label : labels) margin = std::max(margin, label.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string_view row =
        std::string_view(rows[i]).substr(0, rows[i].find_last_not_of(' ') + 1);
    chart += fmt::format("{:>{}} |{}{}\n", labels[i], margin, row.empty() ? "" : " ", row);
  }
  chart += std::string(margin + 1, ' ') + "+" +
           std::string(static_cast<size_t>(area.width) + 1, '-') + "\n";
  return chart + draw_lower_axis(bounds, area, margin);
}

std::string draw_chart(std::string_view metric, const Curve& curve, const ChartArea& area) {
  return draw_common_chart(metric, {{{}, curve}}, area);
}

}  // namespace levin
