#pragma once

#include <cmath>
#include <limits>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// How logged values are combined, on the host. LoggedValues uses these functions for the values of
/// a step and of an epoch, and to merge the values of ranks:
///
///     double sofar = start_of(reduce);
///     for (const auto& [value, rows] : batches) sofar = combine(reduce, sofar, value, rows);
///     if (reduce == Reduce::mean) sofar /= rows_of_all_batches;

/// Returns the value of an epoch before anything has been logged: 0 for a mean or a sum, +infinity
/// for a minimum and -infinity for a maximum, which any logged value replaces.
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
/// the caller divides by the sum of the weights at the end. If a logged value is NaN, so is the
/// result, for a minimum and a maximum as well.
///
///     mean   sofar + value * weight
///     sum    sofar + value
///     min    the smaller of the two
///     max    the larger of the two
///
/// The order of the calls may change the last bits of a mean or a sum.
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
