#include <levin/framework/plots/bar_plot.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr int kBarPlotWidth = 640;
constexpr double kBarLeft = 170.0;
constexpr double kLongestBar = 270.0;
constexpr double kBarRow = 34.0;

}  // namespace

std::string draw_bars(std::string_view title, const std::vector<PlotBar>& bars, bool with_style) {
  double most = 0.0;
  for (const auto& bar : bars) most = std::max(most, bar.value);
  const int height = 64 + static_cast<int>(kBarRow) * static_cast<int>(bars.size());
  std::string out = svg::begin(kBarPlotWidth, height, title, with_style, true) + draw_title(title);
  double y = 52.0;
  for (const auto& bar : bars) {
    const double length = most > 0.0 ? kLongestBar * bar.value / most : 0.0;
    out += svg::text(kBarLeft - 10.0, y + 16.0, bar.name, "end");
    out += fmt::format(
        "<rect class=\"d0\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"22\"/>\n", kBarLeft,
        y, length);
    out += svg::text(kBarLeft + length + 8.0, y + 16.0, bar.label, "start", "faint");
    y += kBarRow;
  }
  return out.append(svg::end());
}

}  // namespace levin
