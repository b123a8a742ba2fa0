#pragma once

#include <string>

#include <levin/framework/core/value.h>
#include <levin/framework/logged/logged_values.h>

namespace levin {

/// Metrics as a small table, a line each.
std::string metrics_table(const MetricMap& metrics);

/// Metrics and `more` (an object) as one JSON object on one line; what isn't finite is null.
std::string metrics_json(const MetricMap& metrics, Value more = Value::Object{});

}  // namespace levin
