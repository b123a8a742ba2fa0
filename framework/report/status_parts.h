#pragma once

#include <optional>
#include <string>
#include <utility>

#include <levin/framework/core/value.h>
#include <levin/framework/report/run_report.h>

/// The parts of a report that say how a run ended, as HTML.
namespace levin::report_parts {

/// The (epoch, value) with the best of the finite values, the first one if several are the best;
/// nothing if no value is finite.
std::optional<std::pair<double, double>> best_point(const MetricSeries& series);

/// How the last fit ended: after how many epochs and steps and in what time, why, with which error,
/// and which checkpoint it can go on from.
std::string status_part(const RunReport& report, const Value& fit);
/// The metrics whose last values aren't finite; empty if there are none.
std::string not_finite_part(const RunReport& report);

}  // namespace levin::report_parts
