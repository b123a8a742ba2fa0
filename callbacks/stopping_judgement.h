#pragma once

#include <cstdint>
#include <string>

namespace levin {

class Monitor;
struct EarlyStoppingOptions;

/// What EarlyStopping makes of a new value of its metric.
struct StoppingJudgement {
  /// Whether the value is better than the best one so far by more than min_delta.
  bool improved = false;
  /// The number of consecutive checks without improvement, this one included.
  int64_t wait_count = 0;
  /// The reason to stop, as a sentence; empty if there is none.
  std::string reason{};
};

/// Judges a value of the metric that `monitor` watches. `best_score` is the best value so far, or
/// the monitor's worst one before the first check, and `wait_count` the number of checks without
/// improvement so far. A value that isn't finite ends training without being counted, if
/// check_finite is set.
StoppingJudgement judge_for_stopping(const EarlyStoppingOptions& options, const Monitor& monitor,
                                     double value, double best_score, int64_t wait_count);

/// Returns the line that `verbose` prints of a judgement. `wait_count` is the number of checks
/// without improvement before it. `may_stop` says that min_epochs and min_steps are met.
std::string stopping_report(const EarlyStoppingOptions& options, const StoppingJudgement& judged,
                            double value, int64_t wait_count, bool may_stop);

}  // namespace levin
