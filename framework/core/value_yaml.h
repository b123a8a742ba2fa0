#pragma once

#include <levin/framework/core/value.h>

namespace YAML {
class Emitter;
}

namespace levin {

/// Writes a value at the place that `out` has reached: as the whole document, as an item of a list,
/// or as what follows a key. Use it to write a document that has more than values in it, such as
/// comments, as `to_yaml(Job, ...)` does; for a value alone, Value::to_yaml is enough.
///
/// Reading the text gives back the same value, whether by YAML 1.1 or 1.2: doubles to the bit
/// (except that all NaNs become one), text that looks like a number or a switch in quotes, and text
/// that isn't UTF-8 as `!!binary`. Lists of plain values stand on one line, everything else in
/// block style. Levin's own reader (framework/config/yaml.h) refuses a value that is nested more
/// than 64 levels deep or consists of more than 100,000 values.
void emit(YAML::Emitter& out, const Value& value);
/// Returns the text that `out` holds, ending in a line feed. Throws Error if the emitter was used
/// in a wrong order, for example if a list was begun but not ended.
std::string take_yaml(const YAML::Emitter& out);

}  // namespace levin
