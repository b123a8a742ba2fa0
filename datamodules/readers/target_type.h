#pragma once

#include <cmath>
#include <string_view>

namespace levin::readers {

/// What the targets of a data set are: `classes` are whole numbers, kept as int64, `values` are
/// floating-point numbers. `automatic` decides by the numbers found: integers (in text, numbers
/// without a fraction) are classes, all others are values.
enum class TargetType { automatic, classes, values };

/// The meaning of an option `target_type`: "auto", "class" or "value". Throws ConfigError for any
/// other word.
TargetType parse_target_type(std::string_view word);

/// Whether a number in a file can be a class: it is whole, and at most 2^53, up to which a double
/// holds every whole number exactly.
inline bool is_whole(double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  return value == std::trunc(value) && std::abs(value) <= kExact;
}

}  // namespace levin::readers
