#pragma once

#include <filesystem>
#include <utility>

#include <levin/framework/core/value.h>
#include <levin/framework/loggers/kept_file.h>
#include <levin/framework/loggers/logger.h>

namespace levin {

class Trainer;

/// A logger that writes `run.json`, the record of what made a run, into the run's folder: Levin's
/// version and commit, LibTorch's version, the kind of machine, the commit of the current folder,
/// the command line, the settings, the seed, the model's layers, the data by checksum
/// (data_record.h), the time of the start and, at the end, that of the end and how the fit ended.
/// docs/report.md explains the file.
///
///     auto& recorder = trainer.add_logger<levin::RunRecorder>();
///     trainer.fit(model, data);
///     recorder.complete(trainer);
///     levin::write_run_report(recorder.folder());  // report_command.h
///
/// The file has a list "fits". A fit that goes on from a checkpoint in the same folder adds to it;
/// of the earlier ones, all but settings, layers and the parts of the data stays. As a logger it is
/// called on rank 0 only, and it records fits alone. It has no state, and nothing that goes wrong
/// with the record ends a run: a warning says it.
class RunRecorder : public Logger {
 public:
  /// `settings` is what job_settings returns. Without it, the record has the settings that loggers
  /// get.
  explicit RunRecorder(Value settings = {}) : settings_(std::move(settings)) {}

  void start(Run& run) override;
  /// Writes the record, with the status "running".
  void log_hyper_parameters(const Value& settings) override;
  /// Ignores the metrics, which other loggers write.
  void log_metrics(const MetricMap&, int64_t, int64_t) override {}
  /// This function and the next one make the file again if it is gone.
  void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override { file_.keep(); }
  void flush() override { file_.keep(); }
  /// Writes how the fit ended: "done", "interrupted" or "failed", then with the exception's message
  /// if this is called while it is handled.
  void finish(bool failed) override;
  bool keeps_steps() const override { return false; }

  /// Adds to the record what loggers can't know: which checkpoints are the best and the last one,
  /// and, if `trainer` has a profiler, where the time went. To be called after the fit.
  void complete(const Trainer& trainer);

  /// The record of the fit in progress or, after it, of the last one; null before.
  const Value& record() const { return record_; }
  /// The run's folder; empty before the first fit.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  void write();

  Value settings_;
  Value::Array earlier_;  // fits that the file had
  Value record_;
  Run* run_ = nullptr;  // during a fit
  std::filesystem::path folder_;
  KeptFile file_;
};

}  // namespace levin
