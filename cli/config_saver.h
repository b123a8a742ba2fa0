#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include <levin/framework/loggers/kept_file.h>
#include <levin/framework/loggers/logger.h>

namespace levin {

/// A logger that writes the whole configuration of a run to `config.yaml` in the run's folder, so
/// that `levin fit --config config.yaml` repeats it. Lightning: SaveConfigCallback.
///
///     auto saver = std::make_unique<ConfigSaver>(to_yaml(job, registry, /*comments=*/false));
///     const ConfigSaver& saved = *saver;
///     trainer.add_logger(std::move(saver));
///     trainer.fit(model, data);
///     std::cout << saved.folder();  // while the Trainer, which owns the logger, exists
///
/// As a logger it is called on rank 0 only. It replaces a file that is there already, makes the
/// file again if it is removed during the run (KeptFile), ignores metrics and has no state.
class ConfigSaver : public Logger {
 public:
  /// `yaml` is the text of the file, which is written when the run starts.
  explicit ConfigSaver(std::string yaml) : yaml_(std::move(yaml)) {}

  /// Writes the file. Throws CheckpointError if that fails.
  void start(Run& run) override {
    folder_ = run.log_dir();
    file_ = KeptFile(folder_ / "config.yaml", yaml_);
    file_.write();
  }
  /// Ignores the metrics, which other loggers write.
  void log_metrics(const MetricMap&, int64_t, int64_t) override {}
  /// This function and the next two make the file again if it is gone.
  void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override { file_.keep(); }
  void flush() override { file_.keep(); }
  void finish(bool) override { file_.keep(); }
  bool keeps_steps() const override { return false; }

  /// The run's folder, which `levin fit` prints at the end; empty before `start`.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::string yaml_;
  std::filesystem::path folder_;
  KeptFile file_;
};

}  // namespace levin
