#pragma once

#include <levin/callbacks/metric_source.h>
#include <levin/framework/core/value.h>
#include <levin/framework/run/run.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// A metric that a callback watches. EarlyStopping and ModelCheckpoint use it; use it for callbacks
/// of your own that depend on a metric.
///
/// A training metric has a new value at the end of an epoch, a validation metric after a
/// validation. The Monitor finds out which of the two it is when the metric first appears: if that
/// is during a validation, it is a validation metric. A value is acted on once: `new_value` gives
/// none if the metric wasn't logged since, for example because only every second epoch validates.
///
///     void on_fit_start(Run&) override { monitor_.on_fit_start(); }  // after reset(), if anew
///     void on_validation_start(Run& run) override { monitor_.on_validation_start(run); }
///     void on_validation_end(Run& run) override {
///       monitor_.on_validation_end(run);
///       if (monitor_.source() != Monitor::Source::validation) return;
///       if (const auto value = monitor_.new_value(run)) { ... }
///     }
class Monitor {
 public:
  /// Which loop logs the metric.
  using Source = MetricSource;

  /// `who` is the name of the callback's class, for error messages. `mode` is "min" if a smaller
  /// value is better and "max" if a larger one is. Throws ConfigError if `name` is empty or `mode`
  /// is anything else.
  Monitor(std::string who, std::string name, std::string_view mode);

  const std::string& name() const { return name_; }
  Source source() const { return source_; }
  bool is_max() const { return is_max_; }
  /// The infinity that is worse than every other value.
  double worst() const;
  /// Returns whether `a` is better than `b`. False if either is NaN.
  bool is_better(double a, double b) const { return is_max_ ? a > b : a < b; }

  /// Returns the metric's latest value on this rank, or nothing if it hasn't been logged yet. Waits
  /// for the device if the value is on one.
  std::optional<double> value(Run& run);
  /// Returns rank 0's value, and takes over its `source()`, so that all ranks decide the same way.
  /// (A value that was logged on_step differs between ranks.) Must be called on every rank.
  std::optional<double> agreed_value(Run& run);
  /// Does the same, but returns nothing if this function has returned that value already: the
  /// metric has to be logged again first. Must be called on every rank.
  std::optional<double> new_value(Run& run);

  // Call each of the following at the beginning of the callback's hook of the same name.

  void on_fit_start() { validated_ = epoch_ended_ = false; }
  void on_validation_start(Run& run);
  /// Warns after the sanity check if validation doesn't log a metric that, by its name, it should
  /// log.
  void on_validation_end(Run& run);
  /// Throws ModuleError if `strict` and the metric is missing although a training epoch and, if
  /// there is one, a validation have ended.
  void on_train_epoch_end(Run& run, bool strict = true);
  /// If the metric was never logged in at least one epoch, throws ModuleError if `strict`, and
  /// warns if not, unless on_validation_end has done so.
  void on_train_end(Run& run, bool strict = true);
  /// Forgets which loop logs the metric, and which value was acted on. For a fit that doesn't
  /// resume.
  void reset();

  /// Puts the source and which of the metric's values `new_value` returned last into a callback's
  /// state, and takes them from there.
  void save_to(Value& values) const;
  void load_from(const Value& values);

 private:
  /// What rank 0 knows of the metric.
  struct Latest {
    std::optional<double> value;
    int64_t updates = 0;
  };
  Latest agreed(Run& run);
  [[noreturn]] void refuse(Run& run) const;

  std::string who_;
  std::string name_;
  bool is_max_ = false;
  Source source_ = Source::unknown;
  int64_t seen_ = 0;
  bool validated_ = false;  // a validation has ended in this fit, other than the sanity check
  bool epoch_ended_ = false;
};

}  // namespace levin
