#pragma once

#include <string>
#include <string_view>

#include <levin/framework/core/value.h>

namespace levin {

/// Returns a value as Python's `json.dumps(value, separators=(",", ":"))` writes it: on one line,
/// in ASCII, with the bare words NaN, Infinity and -Infinity, which JSON itself doesn't have. A
/// float keeps a point or an exponent (1.0), so that Python reads it as a float again. Bytes that
/// aren't UTF-8 become U+FFFD. (Value::to_json writes a form of its own for these.)
std::string to_python_json(const Value& value);

/// Reads what Python's `json.dumps` writes, the bare words included. Whole numbers beyond int64
/// become floats. Of two members of the same name, the last one counts. Throws DataError, with the
/// position of the mistake, if the text isn't JSON or is nested more than 500 levels deep.
Value from_python_json(std::string_view text);

}  // namespace levin
