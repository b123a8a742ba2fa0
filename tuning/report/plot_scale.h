#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// An axis of a plot: where values are on it, from 0 to 1, and the values that are written beside
/// it.
class PlotScale {
 public:
  /// For these values, with some room at both ends; infinities and NaNs don't count.
  static PlotScale of_values(const std::vector<double>& values);
  /// For a parameter.
  static PlotScale of_parameter(const Distribution& distribution);

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
