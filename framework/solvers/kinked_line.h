#pragma once

#include <vector>

namespace levin {

/// A point of a line where the slope of a function along it rises by `rise`.
struct Kink {
  double at;
  double rise;
};

/// The step >= 0 where a function along a line is least, if it is quadratic but for its kinks:
/// its slope is `slope` at 0, and grows by `curvature` for each unit and by `rise` at each kink.
/// `kinks`: those behind 0, in any order. If the slope never becomes 0, it is the last kink.
double least_on_line(double slope, double curvature, std::vector<Kink> kinks);

}  // namespace levin
