#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// Draws a confusion matrix: element (i, j) of `counts`, which is square, counts the rows of class
/// i that were predicted to be of class j. A cell is the stronger in colour the larger its share of
/// the rows of its class (by the square root, so that a few errors can be seen), blue if they are
/// right and orange if they aren't; up to 20 classes, the counts are written, too. `names` are
/// those of the classes. Otherwise as draw_lines.
std::string draw_confusion_matrix(std::string_view title, const std::vector<std::string>& names,
                                  const std::vector<std::vector<double>>& counts,
                                  bool with_style = true);

}  // namespace levin
