#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/loggers/kept_file.h>
#include <levin/framework/loggers/log_file.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// Options of CsvLogger.
struct CsvLoggerOptions {
  /// The longest time, in seconds, that rows of training steps stay in memory before they are
  /// written. Everything is written at the end of an epoch, before a checkpoint and at the end of
  /// the run.
  double flush_interval = 1.0;
};

/// Describes the options for YAML files and `--help`.
Fields describe(CsvLoggerOptions& options);

/// Writes `metrics.csv` and `hparams.yaml` into the run's folder. Lightning: CSVLogger.
///
///     levin::Trainer trainer({.max_epochs = 20});
///     trainer.add_logger<levin::CsvLogger>({.flush_interval = 10});
///
/// Each call of log_metrics or log_epoch_metrics adds a row:
///
///     epoch,step,train_loss,val_acc
///     0,49,0.5,
///     0,49,,0.9312
///
/// The columns are `epoch`, `step` and then the metrics in the order in which they first appeared
/// (metrics that appeared in the same row are ordered by name). A cell is empty if its row doesn't
/// have the metric. A new metric adds a column at the end; the file is then rewritten, while rows
/// are otherwise appended. Numbers have the fewest digits that read back as the same bits, and may
/// be "nan", "inf" or "-inf". The file holds no times, so that the same run gives the same bytes.
///
/// If a run resumes from a checkpoint, the file is cut back to the rows and columns that it had
/// when the checkpoint was taken. The file at the end is then the same as that of an uninterrupted
/// run. If rows are missing, for example because the machine crashed, a warning says so; if the
/// file doesn't exist, a new one is begun. A file that isn't this run's is left as it is, and
/// `start` throws CheckpointError. A new fit in the same folder appends its rows to the file.
///
/// After `start`, a file that can't be written or was removed never ends the run; see LogFile. A
/// row costs the same however long the file is, unless it has a new metric.
class CsvLogger : public Logger {
 public:
  using Options = CsvLoggerOptions;
  explicit CsvLogger(CsvLoggerOptions options = {});

  /// Creates `metrics.csv` in the run's folder, or continues the file that is there. Throws
  /// CheckpointError if that file isn't a table of metrics or isn't the checkpoint's.
  void start(Run& run) override;
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  /// Writes the settings to `hparams.yaml`, replacing the file if it exists. See KeptFile.
  void log_hyper_parameters(const Value& settings) override;
  void flush() override;
  void finish(bool failed) override;

  /// The columns, the number of rows and the size of the file at this moment.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// The path of `metrics.csv`; empty before `start`.
  const std::filesystem::path& path() const { return path_; }

 private:
  /// The file's columns, rows and size in bytes when a checkpoint was taken.
  struct Mark {
    std::vector<std::string> columns;
    int64_t rows = 0;
    int64_t offset = 0;
  };

  /// Continues a file of an earlier fit, whose content is `text`.
  void take_over(const std::string& text);
  /// Cuts a file back to what a checkpoint recorded of it.
  void cut_back(const Mark& mark, const std::string& text);
  /// Adds columns for metrics that appear for the first time.
  void widen(const MetricMap& metrics);

  CsvLoggerOptions options_;
  std::filesystem::path path_;
  LogFile file_;
  std::vector<std::string> columns_;
  int64_t rows_ = 0;
  std::string row_;  // a buffer that is reused for every row
  KeptFile settings_;
  std::optional<Mark> mark_;
};

}  // namespace levin
