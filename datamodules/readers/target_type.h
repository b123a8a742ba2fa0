#pragma once

#include <string_view>

namespace levin::readers {

/// What the targets of a data set are: `classes` are whole numbers, kept as int64, `values` are
/// floating-point numbers. `automatic` decides by the numbers found: integers (in text, numbers
/// without a fraction) are classes, all others are values.
enum class TargetType { automatic, classes, values };

/// The meaning of an option `target_type`: "auto", "class" or "value". Throws ConfigError for any
/// other word.
TargetType parse_target_type(std::string_view word);

}  // namespace levin::readers
