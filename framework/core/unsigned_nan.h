#pragma once

#include <cmath>
#include <concepts>
#include <limits>

namespace levin {

/// Returns the number. A NaN loses its sign, which means nothing: texts then say "nan", not "-nan".
template <class Number>
Number unsigned_nan(Number value) {
  if constexpr (std::floating_point<Number>) {
    if (std::isnan(value)) return std::numeric_limits<Number>::quiet_NaN();
  }
  return value;
}

}  // namespace levin
