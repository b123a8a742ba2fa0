#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/plots/plot_scale.h>

namespace levin {

/// A curve of a plot.
struct PlotLine {
  /// What the legend calls it. Curves of one name and look share an entry; one without a name has
  /// none.
  std::string name{};
  /// Its points (x, y), from left to right. Values that aren't finite are left out.
  std::vector<std::pair<double, double>> points{};
  /// Its colour and the shape of its marks: 0, 1 ..., which repeat after svg::kColours.
  size_t colour = 0;
  bool is_dashed = false;
};

/// Curves with common axes.
struct LinePlot {
  /// What the vertical axis shows; it is written above that axis.
  std::string y_label{};
  std::string x_label{};
  std::vector<PlotLine> lines{};
  /// Whether x counts something, so that its marks are whole numbers.
  bool is_whole_x = false;
  /// Whether both axes go from 0 to 1, with the diagonal as a dashed grey line: a ROC curve's.
  bool is_unit_square = false;
};

/// Draws plots one below the other, with a title and a common legend, as an SVG of 640 pixels'
/// width that can be read from 320 pixels on. A curve of more than 2,000 points keeps the lowest
/// and the highest of each of 1,000 parts. Without `with_style`, the page must have svg::style().
///
///     levin::draw_lines("digits", {{.y_label = "loss", .x_label = "epoch",
///                                   .lines = {{.name = "training", .points = curve}}}});
std::string draw_lines(std::string_view title, const std::vector<LinePlot>& plots,
                       bool with_style = true);

}  // namespace levin
