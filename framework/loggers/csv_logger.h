#pragma once

#include <levin/framework/core/files.h>
#include <levin/framework/core/options.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

struct CsvLoggerOptions {
  /// Seconds that rows of steps may wait in memory; an epoch's row, a checkpoint and the end write
  /// them all.
  double flush_interval = 1.0;
};

Fields describe(CsvLoggerOptions& options);

/// Writes `metrics.csv` and `hparams.yaml` into the run's folder. Lightning: CSVLogger.
///
/// One row a call. The columns are `epoch`, `step`, then the metrics in the order in which they
/// first appeared, those of one row by name; a cell is empty where a row has no such metric. A new
/// metric adds a column at the end: only then is the file written anew, else rows are appended.
/// Numbers are the shortest that read back as the same bits ("nan", "inf", "-inf" too), and no
/// clock is read into the file: the same run gives the same bytes.
///
/// Going on from a checkpoint cuts the file to the rows and columns it had then, so that the
/// resumed run ends with the bytes of one that went through. Rows lost since (a machine that
/// crashed) are missed with a warning; where there is no file, a new one begins. A file whose
/// columns or size can't be this run's is left alone: CheckpointError. A new fit in the same folder
/// adds its rows to the file.
class CsvLogger : public Logger {
 public:
  using Options = CsvLoggerOptions;
  explicit CsvLogger(CsvLoggerOptions options = {});

  void start(Run& run) override;
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_hyper_parameters(const Value& settings) override;
  void flush() override;
  void finish(bool failed) override;

  std::string state_key() const override { return "CsvLogger"; }
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// `metrics.csv`, once the logger has started.
  const std::filesystem::path& path() const { return path_; }

 private:
  /// What a checkpoint recorded of the file.
  struct Mark {
    std::vector<std::string> columns;
    int64_t rows = 0;
    int64_t offset = 0;
  };

  void take_over(const std::string& text);
  void cut_back(const Mark& mark, const std::string& text);
  void widen(const MetricMap& metrics);

  CsvLoggerOptions options_;
  std::filesystem::path path_;
  files::AppendFile file_;
  std::vector<std::string> columns_;
  int64_t rows_ = 0;
  int64_t offset_ = 0;     // of the file as `finish` left it
  double flush_at_ = 0.0;  // on the monotonic clock
  std::string row_;        // reused
  std::optional<Mark> mark_;
};

}  // namespace levin
