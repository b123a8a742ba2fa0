#pragma once

#include <algorithm>

namespace levin {

/// The subgradient of least size of an entry with an L1 penalty. `slope`: the derivative of the
/// function without that penalty.
inline double least_slope(double slope, double value, double l1) {
  if (value > 0.0) return slope + l1;
  if (value < 0.0) return slope - l1;
  return slope - std::clamp(slope, -l1, l1);
}

/// `value`, moved towards 0 by at most `by`.
inline double shrunk(double value, double by) {
  return value > by ? value - by : value < -by ? value + by : 0.0;
}

}  // namespace levin
