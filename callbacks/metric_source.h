#pragma once

#include <string_view>

namespace levin {

/// Which loop logs a metric.
enum class MetricSource { unknown, training, validation };

/// Returns the source as text, to be kept in a callback's state.
std::string_view name_of(MetricSource source);
/// Returns the source of this name; `unknown` if there is none.
MetricSource metric_source(std::string_view name);

}  // namespace levin
