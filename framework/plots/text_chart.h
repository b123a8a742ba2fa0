#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/plots/metrics_csv.h>

namespace levin {

/// A curve of a chart, with the name of its run.
struct ChartCurve {
  std::string name{};
  Curve points{};
};

/// Where the curves of a chart are drawn: the size of the area within the axes, in characters, at
/// least 20 by 2, and what the lower axis shows.
struct ChartArea {
  int width = 64;
  int height = 16;
  std::string_view x_label = "epoch";
};

/// Draws a curve as plain text: "*" is a value, and "." joins two of them. An empty curve gives one
/// line that says so.
std::string draw_chart(std::string_view metric, const Curve& curve, const ChartArea& area = {});
/// The same for several curves with common axes, whose values are "*", "o", "+", "x", "#" and so
/// on. The lines above the chart say which is which.
std::string draw_common_chart(std::string_view metric, const std::vector<ChartCurve>& curves,
                              const ChartArea& area = {});

}  // namespace levin
