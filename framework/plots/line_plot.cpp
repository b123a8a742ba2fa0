#include <levin/framework/plots/line_plot.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/terminal.h>
#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

using LinePoints = std::vector<std::pair<double, double>>;

constexpr int kLinePlotWidth = 640;
constexpr double kLineLeft = 84.0;
constexpr double kLineRight = 616.0;
constexpr double kLineHeight = 240.0;    // within the axes
constexpr double kSquareHeight = 440.0;  // the same of a unit square
constexpr double kLegendLeft = 28.0;
constexpr double kLegendRow = 26.0;
constexpr double kLegendSample = 44.0;
constexpr double kLetterWidth = 11.5;  // of text that has grown
constexpr size_t kMostPoints = 2000;
constexpr size_t kMostMarks = 12;
constexpr size_t kMarkEachPoint = 30;
constexpr const char* kDashes = " stroke-dasharray=\"7 4\"";

LinePoints finite_points(const LinePoints& points) {
  LinePoints finite;
  for (const auto& point : points) {
    if (std::isfinite(point.first) && std::isfinite(point.second)) finite.push_back(point);
  }
  return finite;
}

/// The lowest and the highest point of each part of the curve, in their order.
LinePoints thinned_points(const LinePoints& points) {
  if (points.size() <= kMostPoints) return points;
  constexpr size_t kParts = kMostPoints / 2;
  LinePoints kept;
  for (size_t part = 0; part < kParts; ++part) {
    const auto from = points.begin() + static_cast<std::ptrdiff_t>(part * points.size() / kParts);
    const auto to =
        points.begin() + static_cast<std::ptrdiff_t>((part + 1) * points.size() / kParts);
    auto [low, high] = std::minmax_element(
        from, to, [](const auto& a, const auto& b) { return a.second < b.second; });
    if (low > high) std::swap(low, high);
    kept.push_back(*low);
    if (low != high) kept.push_back(*high);
  }
  return kept;
}

/// A mark of the curve's shape: a disc, a square, a triangle or a diamond.
std::string draw_mark(double x, double y, size_t colour) {
  const std::string style = fmt::format("d{}", colour % svg::kColours);
  switch (colour % 4) {
    case 0:
      return fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"/>\n", style, x,
                         y);
    case 1:
      return fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"6.6\" height=\"6.6\"/>\n", style,
          x - 3.3, y - 3.3);
    case 2:
      return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l4.4 7.6h-8.8z\"/>\n", style, x,
                         y - 4.8);
    default:
      return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6z\"/>\n",
                         style, x, y - 4.6);
  }
}

std::string draw_line(const PlotLine& line, const PlotFrame& frame, const PlotScale& x,
                      const PlotScale& y) {
  const LinePoints points = thinned_points(finite_points(line.points));
  if (points.empty()) return {};
  std::string path;
  std::string marks;
  const size_t stride =
      points.size() <= kMarkEachPoint ? 1 : (points.size() + kMostMarks - 1) / kMostMarks;
  for (size_t i = 0; i < points.size(); ++i) {
    const double at_x = frame.x(x.place(points[i].first));
    const double at_y = frame.y(y.place(points[i].second));
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", at_x, at_y);
    if (i % stride == stride / 2) marks += draw_mark(at_x, at_y, line.colour);
  }
  return fmt::format(
             "<polyline class=\"c{}\" points=\"{}\" fill=\"none\" stroke-width=\"2\" "
             "stroke-linejoin=\"round\"{}>{}</polyline>\n",
             line.colour % svg::kColours, path, line.is_dashed ? kDashes : "",
             line.name.empty() ? "" : "<title>" + svg::escaped(line.name) + "</title>") +
         marks;
}

/// The lines that the legend explains, one of each name and look.
std::vector<const PlotLine*> legend_of(const std::vector<LinePlot>& plots) {
  std::vector<const PlotLine*> entries;
  for (const auto& plot : plots) {
    for (const auto& line : plot.lines) {
      const bool is_known = std::any_of(entries.begin(), entries.end(), [&](const PlotLine* known) {
        return known->name == line.name && known->colour == line.colour &&
               known->is_dashed == line.is_dashed;
      });
      if (!line.name.empty() && !is_known) entries.push_back(&line);
    }
  }
  return entries;
}

/// Draws the legend from `top` on, and moves `top` below it. A name that is too long for a line
/// goes on in the next one.
std::string draw_legend(const std::vector<const PlotLine*>& entries, double& top) {
  constexpr int kMostLetters =
      static_cast<int>((kLinePlotWidth - kLegendLeft - kLegendSample) / kLetterWidth);
  std::string out;
  double x = kLegendLeft;
  for (const PlotLine* entry : entries) {
    const auto lines = svg::wrapped(entry->name, kMostLetters);
    const double width = kLegendSample + kLetterWidth * text_columns(lines.front()) + 14.0;
    if (x > kLegendLeft && (x + width > kLinePlotWidth || lines.size() > 1)) {
      x = kLegendLeft;
      top += kLegendRow;
    }
    out += svg::line(x, top, x + 34.0, top, fmt::format("c{}", entry->colour % svg::kColours),
                     std::string(" stroke-width=\"2\"") + (entry->is_dashed ? kDashes : ""));
    out += draw_mark(x + 17.0, top, entry->colour);
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i > 0) top += kLegendRow;
      out += svg::text(x + kLegendSample, top + 5.0, lines[i], "start");
    }
    x += lines.size() > 1 ? kLinePlotWidth : width;
  }
  if (!entries.empty()) top += kLegendRow;
  return out;
}

PlotScale scale_of_lines(const LinePlot& plot, bool of_x) {
  if (plot.is_unit_square) return PlotScale::of_range(0.0, 1.0);
  std::vector<double> values;
  for (const auto& line : plot.lines) {
    for (const auto& [x, y] : finite_points(line.points)) values.push_back(of_x ? x : y);
  }
  if (!of_x || values.empty()) return PlotScale::of_values(values);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return PlotScale::of_range(*low, *high,
                             plot.is_whole_x ? PlotScale::Kind::whole : PlotScale::Kind::linear);
}

std::string draw_plot(const LinePlot& plot, const PlotFrame& frame) {
  const PlotScale x = scale_of_lines(plot, true);
  const PlotScale y = scale_of_lines(plot, false);
  std::string out = draw_vertical_axis(frame, y, plot.y_label);
  out += draw_horizontal_axis(frame, x, plot.x_label);
  if (plot.is_unit_square) {
    out += svg::line(frame.left, frame.bottom, frame.right, frame.top, "mark",
                     " stroke-dasharray=\"2 4\"");
  }
  std::string lines;
  for (const auto& line : plot.lines) lines += draw_line(line, frame, x, y);
  if (lines.empty()) {
    lines = svg::text((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0,
                      "no finite values yet", "middle", "faint");
  }
  return out + lines;
}

}  // namespace

std::string draw_lines(std::string_view title, const std::vector<LinePlot>& plots,
                       bool with_style) {
  double top = 56.0;
  std::string body = draw_title(title) + draw_legend(legend_of(plots), top);
  for (const auto& plot : plots) {
    PlotFrame frame{.left = kLineLeft, .right = kLineRight, .top = top + 32.0};
    frame.bottom = frame.top + (plot.is_unit_square ? kSquareHeight : kLineHeight);
    body += draw_plot(plot, frame);
    top = frame.bottom + 58.0;
  }
  if (plots.empty()) {
    body += svg::text(28.0, top + 10.0, "There are no values yet.", "start", "faint");
    top += 40.0;
  }
  return svg::begin(kLinePlotWidth, static_cast<int>(top), title, with_style, true) + body +
         std::string(svg::end());
}

}  // namespace levin
