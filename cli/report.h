#pragma once

#include <string>

#include <levin/framework/core/value.h>
#include <levin/framework/logged/logged_values.h>

namespace levin {

/// Returns the metrics as a table for people, one a line.
std::string metrics_table(const MetricMap& metrics);

/// Returns the metrics and the members of `more` (an object) as one JSON object on one line. NaN
/// and infinities, which JSON lacks, become null.
std::string metrics_json(const MetricMap& metrics, Value more = Value::Object{});

}  // namespace levin
