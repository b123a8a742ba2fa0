#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/serving/load/load_generator.h>

namespace levin {

/// A load and what it measured.
struct LoadStep {
  /// Requests a second that were sent; 0 for a closed loop.
  double rate = 0.0;
  int64_t connections = 0;
  LoadResult result{};
};

/// The result as an object of plain numbers: counts by outcome and status, latencies in
/// milliseconds (`latency_ms`, `service_ms`), rates a second.
Value to_value(const LoadStep& step);

/// A table for people, with a line for each load: rates, percentiles in milliseconds, outcomes.
std::string load_table(const std::vector<LoadStep>& steps);

/// Sentences on what makes the figures doubtful or incomplete, a line each: a generator that was
/// the limit, errors, refused requests, an interruption. "" if there is nothing to say.
std::string load_remarks(const std::vector<LoadStep>& steps);

/// The same figures as CSV, with a header.
std::string load_csv(const std::vector<LoadStep>& steps);

}  // namespace levin
