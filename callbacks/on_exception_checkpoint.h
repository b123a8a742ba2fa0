#pragma once

#include <filesystem>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of OnExceptionCheckpoint.
struct OnExceptionCheckpointOptions {
  /// The folder to save to; by default `checkpoints` in the run's folder.
  std::string dirpath{};
  /// The file's name, to which `.ckpt` is added.
  std::string filename = "on_exception";
};

/// Describes the options for YAML files and `--help`.
Fields describe(OnExceptionCheckpointOptions& options);

/// Saves a checkpoint if an exception ends the fit, whatever its class. Lightning:
/// OnExceptionCheckpoint.
///
///     trainer.add<levin::OnExceptionCheckpoint>({.filename = "crash"});
///     try { trainer.fit(model, data); } catch (...) { ... }
///     trainer.fit(model, data, "levin_logs/version_0/checkpoints/crash.ckpt");
///
/// It holds the state at the exception, which may be that of a step half done: the epoch's values
/// may count a batch twice after a resume. With several ranks it is that of the rank that saves;
/// nothing is saved if the state is divided among ranks (zero_stage_1, 2 and 3, or a pipeline).
class OnExceptionCheckpoint : public Callback {
 public:
  using Options = OnExceptionCheckpointOptions;
  /// Throws ConfigError for an empty filename or one that is a path.
  explicit OnExceptionCheckpoint(OnExceptionCheckpointOptions options = {});

  Order order() const override { return Order::checkpoint; }
  std::filesystem::path checkpoint_folder() const override { return options_.dirpath; }

  void on_fit_start(Run& run) override;
  void on_train_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  OnExceptionCheckpointOptions options_;
  bool fitting_ = false;
};

}  // namespace levin
