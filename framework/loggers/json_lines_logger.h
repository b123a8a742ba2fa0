#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/loggers/log_file.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Options of JsonLinesLogger.
struct JsonLinesLoggerOptions {
  /// The longest time, in seconds, that rows of training steps stay in memory before they are
  /// written. Everything is written at the end of an epoch, before a checkpoint and at the end of
  /// the run.
  double flush_interval = 1.0;
};

/// Describes the options for YAML files and `--help`.
Fields describe(JsonLinesLoggerOptions& options);

/// Writes `metrics.jsonl` into the run's folder: one JSON object on each line.
///
///     {"settings":{"data":{"batch_size":64},"model":{"learning_rate":0.1},"seed":1}}
///     {"epoch":0,"step":49,"train_loss":0.5}
///     {"epoch":0,"step":49,"val_acc":0.9312}
///     {"step":49,"tag":"sample","text":"a text that log_text was given"}
///
/// The first line has the run's settings. Each call of log_metrics or log_epoch_metrics adds a line
/// with its metrics only, so that a new metric costs no more than another. Numbers have the fewest
/// digits that read back as the same bits; JSON has no infinities and NaNs, so these are the texts
/// "NaN", "Infinity" and "-Infinity". The file holds no times: the same run gives the same bytes.
///
/// If a run resumes from a checkpoint, the file is cut back to the lines that it had when the
/// checkpoint was taken. If lines are missing, a warning says so; if the file doesn't exist, a new
/// one is begun. A new fit in the same folder appends its lines. After `start`, a file that can't
/// be written or was removed never ends the run; see LogFile.
class JsonLinesLogger : public Logger {
 public:
  using Options = JsonLinesLoggerOptions;
  explicit JsonLinesLogger(JsonLinesLoggerOptions options = {});

  /// Creates `metrics.jsonl` in the run's folder, or continues the file that is there. Throws
  /// CheckpointError if that file isn't the checkpoint's.
  void start(Run& run) override;
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  /// Adds a line with the settings, unless the run has resumed and the file has one.
  void log_hyper_parameters(const Value& settings) override;
  void log_text(std::string_view tag, std::string_view text, int64_t step) override;
  void flush() override;
  void finish(bool failed) override;

  /// The size of the file at this moment.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 private:
  JsonLinesLoggerOptions options_;
  LogFile file_;
  std::string row_;  // a buffer that is reused for every row
  bool has_settings_ = false;
  std::optional<int64_t> mark_;  // the file's size when the checkpoint was taken
};

}  // namespace levin
