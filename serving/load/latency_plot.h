#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/load/load_report.h>

namespace levin {

/// Draws percentiles of the latency (p50, p90, p99 and p99.9, in milliseconds on a logarithmic
/// axis) against the requests a second, as an SVG of 860 x 520 that is readable on a light and on a
/// dark page. Steps without answers are left out; without any step, there are only axes. `maximum`,
/// if above 0, is marked as the most requests a second that a closed loop reached.
std::string draw_latencies(const std::vector<LoadStep>& steps, std::string_view title,
                           double maximum);

}  // namespace levin
