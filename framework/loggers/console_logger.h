#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace levin {

struct ConsoleLoggerOptions {
  /// Also write a line for what is logged between epochs, every log_every_n_steps.
  bool log_steps = false;
};

Fields describe(ConsoleLoggerOptions& options);

/// Writes metrics to stderr, a plain line for each epoch and each validation or test:
///
///     epoch 3, step 120: val_acc 0.9312, val_loss 0.2417
class ConsoleLogger : public Logger {
 public:
  using Options = ConsoleLoggerOptions;
  explicit ConsoleLogger(ConsoleLoggerOptions options = {}, std::FILE* out = stderr);

  void start(Run& /*run*/) override {}
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void finish(bool failed) override;
  std::string state_key() const override { return "ConsoleLogger"; }

 private:
  void write(const MetricMap& metrics, int64_t epoch, int64_t step);

  ConsoleLoggerOptions options_;
  std::FILE* out_;
};

}  // namespace levin
