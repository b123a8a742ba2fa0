#pragma once

#include <string>
#include <utility>
#include <vector>

namespace levin {

/// An axis of a plot: where values are on it, from 0 to 1, and the values that are written beside
/// it.
class PlotScale {
 public:
  enum class Kind {
    linear,
    whole,        ///< linear, with marks at whole numbers only
    logarithmic,  ///< of values above 0
  };

  /// For these values, with some room at both ends; infinities and NaNs don't count.
  static PlotScale of_values(const std::vector<double>& values);
  /// From `low` to `high`, without room at the ends.
  static PlotScale of_range(double low, double high, Kind kind = Kind::linear);
  /// For the whole numbers 0, 1 ..., which have names. If there are many, some of them aren't
  /// written.
  static PlotScale of_names(const std::vector<std::string>& names);

  double place(double value) const;
  /// The marks: places and labels.
  const std::vector<std::pair<double, std::string>>& marks() const { return marks_; }

 private:
  void add_marks(bool are_whole = false);

  double low_ = 0.0;  // logarithms if is_log_
  double high_ = 1.0;
  bool is_log_ = false;
  std::vector<std::pair<double, std::string>> marks_;
};

}  // namespace levin
