#pragma once

#include <string>
#include <string_view>

#include <levin/framework/plots/plot_scale.h>

namespace levin {

/// The part of a drawing within its axes, in pixels.
struct PlotFrame {
  double left = 78.0, right = 830.0, top = 68.0, bottom = 360.0;

  double x(double place) const { return left + place * (right - left); }
  double y(double place) const { return bottom - place * (bottom - top); }
};

/// The left axis with its marks and lines of a grid, and above it `label`.
std::string draw_vertical_axis(const PlotFrame& frame, const PlotScale& scale,
                               std::string_view label);
/// The lower axis with its marks, and below it `label`.
std::string draw_horizontal_axis(const PlotFrame& frame, const PlotScale& scale,
                                 std::string_view label);
/// The title of a drawing, in its first 40 pixels.
std::string draw_title(std::string_view title);

}  // namespace levin
