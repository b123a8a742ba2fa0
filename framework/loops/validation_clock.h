#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/core/ranks.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Says when validation is due if val_check_interval is a time: when it has passed since the last
/// validation or, before the first one, since training began. Lightning: val_check_interval as a
/// timedelta.
///
///     clock.start();                                        // training begins
///     if (clock.is_due(/*is_allowed=*/true)) validate();    // after each step, on every rank
///     clock.restart();                                      // after each validation
///
/// All ranks validate after the same step: that after which every rank knows that the time is over
/// on one of them (Ranks::any_after_step). Ranks that train alone (TrainerOptions::model_averaging)
/// learn it when they exchange flags next, so the interval lasts until then.
class ValidationClock {
 public:
  /// Keeps `ranks`. Throws ConfigError if the interval is a text that is no duration.
  ValidationClock(const TrainerOptions& options, Ranks& ranks);

  /// Whether val_check_interval is a time. If not, validation is never due by this clock.
  bool is_used() const { return interval_ > 0.0; }
  /// Starts the clock, which goes on from `set_seconds_before`.
  void start();
  /// Begins a new interval, after a validation.
  void restart();
  /// Whether to validate after the step just done. To be called by every rank after every step.
  /// `is_allowed` says whether validation may take place now, and must be the same on all ranks; if
  /// it may not, the interval goes on.
  bool is_due(bool is_allowed);

  /// The seconds of the present interval that have passed, for checkpoints; nothing if the interval
  /// isn't a time.
  std::optional<double> seconds() const;
  /// Sets the seconds of the present interval that had passed before this run went on.
  void set_seconds_before(double seconds) { seconds_before_ = seconds; }

 private:
  Ranks& ranks_;
  double interval_ = 0.0;  // seconds; 0: the interval isn't a time
  double seconds_before_ = 0.0;
  std::optional<double> started_;
  int64_t stale_answers_ = 0;  // that may still come, to questions from before the last validation
};

}  // namespace levin
