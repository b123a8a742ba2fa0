#pragma once

#include <levin/framework/run/run.h>

#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// A metric that a callback watches. EarlyStopping and ModelCheckpoint use it; use it for callbacks
/// of your own that depend on a metric.
///
/// A training metric has a new value at the end of an epoch, a validation metric after a
/// validation. The Monitor finds out which of the two it is when the metric first appears: if that
/// is during a validation, it is a validation metric.
///
///     void on_validation_start(Run& run) override { monitor_.on_validation_start(run); }
///     void on_validation_end(Run& run) override {
///       monitor_.on_validation_end(run);
///       if (monitor_.source() != Monitor::Source::validation) return;
///       if (const auto value = monitor_.agreed_value(run)) { ... }
///     }
class Monitor {
 public:
  /// Which loop logs the metric.
  enum class Source { unknown, training, validation };

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

  // Call each of the following at the beginning of the callback's hook of the same name.

  void on_fit_start() { validated_ = epoch_ended_ = false; }
  void on_validation_start(Run& run);
  void on_validation_end(Run& run);
  /// Throws ModuleError if `strict` and the metric is missing although a training epoch and, if
  /// there is one, a validation have ended.
  void on_train_epoch_end(Run& run, bool strict = true);
  /// Throws ModuleError if `strict` and the metric was never logged in at least one epoch.
  void on_train_end(Run& run, bool strict = true);

  /// The source as text, "training", "validation" or "unknown", to be kept in a callback's state.
  std::string_view source_name() const;
  void set_source(std::string_view name);

 private:
  [[noreturn]] void refuse(Run& run) const;

  std::string who_;
  std::string name_;
  bool is_max_ = false;
  Source source_ = Source::unknown;
  bool validated_ = false;  // a validation has ended in this fit, other than the sanity check
  bool epoch_ended_ = false;
};

}  // namespace levin
