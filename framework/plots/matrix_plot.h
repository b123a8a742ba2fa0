#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// Which classes a model takes for which.
struct ConfusionPlot {
  /// What is written above the matrix, such as the name of a run; empty for nothing.
  std::string name{};
  std::vector<std::string> class_names{};
  /// Element (i, j) counts the rows of class i that were predicted to be of class j; square.
  std::vector<std::vector<double>> counts{};
};

/// Draws a confusion matrix. A cell is the stronger in colour the larger its share of the rows of
/// its class (by the square root, so that a few errors can be seen), blue if they are right and
/// orange if they aren't; up to 20 classes, the counts are written, too. Otherwise as draw_lines.
std::string draw_confusion_matrix(std::string_view title, const std::vector<std::string>& names,
                                  const std::vector<std::vector<double>>& counts,
                                  bool with_style = true);

/// Draws several of them in one picture: two beside each other if their classes are so few that the
/// counts can be read in half the width, and otherwise one below the other.
std::string draw_confusion_matrices(std::string_view title,
                                    const std::vector<ConfusionPlot>& matrices,
                                    bool with_style = true);

}  // namespace levin
