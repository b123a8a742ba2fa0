#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace levin {

/// Options of ConsoleLogger.
struct ConsoleLoggerOptions {
  /// Also write a line for the metrics of single steps. The Trainer passes them to loggers every
  /// `log_every_n_steps` steps.
  bool log_steps = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ConsoleLoggerOptions& options);

/// Writes metrics to stderr: one plain line for each epoch and for each validation or test, with
/// four significant digits. It keeps no state, and a resumed run just goes on writing.
///
///     epoch 3, step 120: val_acc 0.9312, val_loss 0.2417
///
/// Use it where a progress bar would be in the way, for example in the log of a cluster's job:
///
///     levin::Trainer trainer({.max_epochs = 20});
///     trainer.add_logger<levin::ConsoleLogger>({.log_steps = true});
class ConsoleLogger : public Logger {
 public:
  using Options = ConsoleLoggerOptions;
  /// `out` is the stream to write to. The caller keeps ownership of it, and keeps it open.
  explicit ConsoleLogger(ConsoleLoggerOptions options = {}, std::FILE* out = stderr);

  void start(Run& /*run*/) override {}
  /// Writes a line only if `log_steps` is set.
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  bool keeps_steps() const override { return options_.log_steps; }
  /// Writes a line, whatever `log_steps` is.
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;

 private:
  /// Writes one line with all metrics, ordered by name.
  void write(const MetricMap& metrics, int64_t epoch, int64_t step);

  ConsoleLoggerOptions options_;
  std::FILE* out_;
};

}  // namespace levin
