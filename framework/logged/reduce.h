#pragma once

#include <cmath>
#include <limits>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// What an epoch's value is before anything was logged.
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

/// `sofar` and another value of that weight.
inline double combine(Reduce reduce, double sofar, double value, double weight) {
  switch (reduce) {
    case Reduce::mean:
      return sofar + value * weight;
    case Reduce::sum:
      return sofar + value;
    // A NaN must not get lost in a comparison.
    case Reduce::min:
      return std::isnan(value) || value < sofar ? value : sofar;
    case Reduce::max:
      return std::isnan(value) || value > sofar ? value : sofar;
  }
  return sofar;
}

}  // namespace levin
