#pragma once

#include <cstdint>
#include <string>

#include <levin/framework/logged/logged_values.h>
#include <levin/framework/run/run.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Where metrics go. Only rank 0 has loggers. Lightning: Logger.
class Logger {
 public:
  virtual ~Logger() = default;

  /// Before the first metric, after a resume's `load_state_dict`.
  virtual void start(Run& run) = 0;
  /// One row: what was logged at `step` of `epoch`. Never called with no metrics.
  virtual void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) = 0;
  /// The same for the values of a whole epoch, validation or test.
  virtual void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
    log_metrics(metrics, epoch, step);
  }
  /// The module's and data module's settings, once.
  virtual void log_hyper_parameters(const Value& /*settings*/) {}
  /// Hands what waits to the system: before each checkpoint, so that it agrees with the files.
  virtual void flush() {}
  /// The end; `failed` where an exception ended the run.
  virtual void finish(bool /*failed*/) {}

  /// Names its state in checkpoints.
  virtual std::string state_key() const = 0;
  /// Enough to cut its file back to this moment.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

}  // namespace levin
