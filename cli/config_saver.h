#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include <levin/framework/core/files.h>
#include <levin/framework/loggers/logger.h>

namespace levin {

/// A logger that writes the whole configuration of a run to `config.yaml` in the run's folder, so
/// that `levin fit --config config.yaml` repeats it. Lightning: SaveConfigCallback.
class ConfigSaver : public Logger {
 public:
  /// `yaml`: the text of the file.
  explicit ConfigSaver(std::string yaml) : yaml_(std::move(yaml)) {}

  void start(Run& run) override {
    folder_ = run.log_dir();
    files::write_atomically(folder_ / "config.yaml", yaml_);
  }
  void log_metrics(const MetricMap&, int64_t, int64_t) override {}
  std::string state_key() const override { return "ConfigSaver"; }

  /// The run's folder; empty before `start`.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::string yaml_;
  std::filesystem::path folder_;
};

}  // namespace levin
