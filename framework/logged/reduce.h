#pragma once

#include <cmath>
#include <limits>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// Returns the value of an epoch before anything has been logged: 0, or the infinity that any
/// minimum or maximum replaces.
inline double start_of(Reduce reduce) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (reduce) {
    case Reduce::min:
      return kInfinity;
    case Reduce::max:
      return -kInfinity;
    default:
      return 0.0;
  }
}

/// Combines the value of an epoch so far with another logged value. `weight` is the number of rows
/// that the value stands for; only a mean uses it. For a mean, the result is a weighted sum, which
/// the caller divides by the sum of the weights at the end. A NaN stays in a minimum or maximum.
inline double combine(Reduce reduce, double sofar, double value, double weight) {
  switch (reduce) {
    case Reduce::mean:
      return sofar + value * weight;
    case Reduce::sum:
      return sofar + value;
    // A comparison with NaN is false, so NaN needs a check of its own.
    case Reduce::min:
      return std::isnan(value) || value < sofar ? value : sofar;
    case Reduce::max:
      return std::isnan(value) || value > sofar ? value : sofar;
  }
  return sofar;
}

}  // namespace levin
