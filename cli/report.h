#pragma once

#include <string>

#include <levin/framework/core/value.h>
#include <levin/framework/logged/logged_values.h>

namespace levin {

/// Returns the metrics as a table for people, one a line, ordered by name, with six significant
/// digits:
///
///       val_acc   0.9312
///       val_loss  0.2417
std::string metrics_table(const MetricMap& metrics);

/// Returns the metrics and the members of `more` (an object) as one JSON object on one line,
/// without a newline. NaN and infinities, which JSON lacks, become null. A metric replaces a member
/// of the same name.
std::string metrics_json(const MetricMap& metrics, Value more = Value::Object{});

}  // namespace levin
