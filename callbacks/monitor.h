#pragma once

#include <levin/framework/run/run.h>

#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// A metric that a callback watches: which way is better, who logs it, and whether it is there.
///
/// Validation and training metrics are new at different times. The first look that finds the metric
/// tells them apart: one that appears during a validation is a validation metric.
class Monitor {
 public:
  enum class Source { unknown, training, validation };

  /// `who` (a class name) is for messages; `mode` is "min" or "max". Throws ConfigError for another
  /// mode or an empty name.
  Monitor(std::string who, std::string name, std::string_view mode);

  const std::string& name() const { return name_; }
  Source source() const { return source_; }
  bool is_max() const { return is_max_; }
  /// What every other value is better than.
  double worst() const;
  /// Whether `a` is better than `b`; NaN never is.
  bool is_better(double a, double b) const { return is_max_ ? a > b : a < b; }

  /// The latest value; nothing where nobody logged it yet. Reads back from a device where need be.
  std::optional<double> value(Run& run);
  /// Rank 0's, on every rank, and whether it is a training metric there: values of a step differ
  /// from rank to rank. To be called on every rank.
  std::optional<double> agreed_value(Run& run);

  /// To be called from the hooks of the same names, before anything else.
  void on_fit_start() { validated_ = epoch_ended_ = false; }
  void on_validation_start(Run& run);
  void on_validation_end(Run& run);
  /// Throws ModuleError where everybody had their turn to log it and nobody did.
  void on_train_epoch_end(Run& run, bool strict = true);
  /// Throws ModuleError where epochs went by and nobody ever logged it.
  void on_train_end(Run& run, bool strict = true);

  /// "training", "validation" or "unknown", for a callback's state.
  std::string_view source_name() const;
  void set_source(std::string_view name);

 private:
  [[noreturn]] void refuse(Run& run) const;

  std::string who_;
  std::string name_;
  bool is_max_ = false;
  Source source_ = Source::unknown;
  bool validated_ = false;  // in this fit, the sanity check left out
  bool epoch_ended_ = false;
};

}  // namespace levin
