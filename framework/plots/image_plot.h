#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// A picture made of numbers, such as the weights of a class.
struct PlotImage {
  std::string name{};
  size_t rows = 0;
  size_t columns = 0;
  /// [rows * columns], row by row.
  std::vector<double> values{};
};

/// Draws images side by side: blue is above 0, orange below, and the strongest colour is the
/// largest absolute value of all of them. An image of more than 64 pixels a side is drawn smaller,
/// each of its pixels being the mean of several. Otherwise as draw_lines.
std::string draw_images(std::string_view title, const std::vector<PlotImage>& images,
                        bool with_style = true);

/// Images that belong together, such as those of a run.
struct ImageGroup {
  /// What is written above them; empty for nothing.
  std::string name{};
  std::vector<PlotImage> images{};
};

/// Draws several groups of images one below the other, in the colours of one common scale.
std::string draw_image_groups(std::string_view title, const std::vector<ImageGroup>& groups,
                              bool with_style = true);

}  // namespace levin
