#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// A bar of a plot, with its name on the left and its value as text at its end.
struct PlotBar {
  std::string name{};
  /// At least 0.
  double value = 0.0;
  /// "1.25 s (40 %)".
  std::string label{};
};

/// Draws horizontal bars, which begin at 0, one below the other, as draw_lines does.
std::string draw_bars(std::string_view title, const std::vector<PlotBar>& bars,
                      bool with_style = true);

}  // namespace levin
