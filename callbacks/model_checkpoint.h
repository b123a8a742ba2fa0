#pragma once

#include <levin/callbacks/checkpoint_schedule.h>
#include <levin/callbacks/kept_checkpoints.h>
#include <levin/callbacks/model_checkpoint_options.h>
#include <levin/callbacks/monitor.h>
#include <levin/framework/run/callback.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace levin {

/// Saves checkpoints during training and keeps the best ones. Lightning: ModelCheckpoint.
///
///     auto& checkpoints = trainer.add<levin::ModelCheckpoint>(
///         {.monitor = "val_loss", .save_last = true, .save_top_k = 3});
///     trainer.fit(model, data);
///     trainer.test(model, data, "best");  // or checkpoints.best_model_path().string()
///
/// - A checkpoint that is no longer among the best is removed, but only after the new one is on
///   disk, and only if this callback wrote it to its present folder. Paths in a checkpoint aren't
///   trusted: nothing outside this folder is removed, even through a symbolic link.
/// - NaN ranks as the worst value.
/// - A value of the monitor counts once. If it wasn't logged since, no checkpoint is ranked by it.
/// - If checkpoints are due by steps or minutes but ranked by a validation metric, saving waits for
///   the next validation, so that weights and score belong together. `last.ckpt` doesn't wait.
/// - A resumed run continues with the files that are still there, even if the run's folder was
///   moved.
/// - With several ranks, all of them take part in saving, and rank 0 writes the file.
/// - With `asynchronous`, an error in writing ends training at a later step. The files of a fit are
///   on disk when it ends, and a checkpoint that is replaced stays until the new one is.
class ModelCheckpoint : public Callback {
 public:
  using Options = ModelCheckpointOptions;
  /// Throws ConfigError if an option is out of range or options exclude each other.
  explicit ModelCheckpoint(ModelCheckpointOptions options = {});

  /// A checkpoint that is kept: its path and score.
  using Saved = SavedCheckpoint;
  /// The checkpoints that are kept, in the order in which they were saved.
  const std::vector<Saved>& best_k_models() const { return files_.best().all(); }
  /// The path of the best of them, or without a monitor of the latest; empty if there is none.
  const std::filesystem::path& best_model_path() const { return files_.best().best_path(); }
  /// The score of the best of them; nothing if there is none or no monitor.
  std::optional<double> best_model_score() const { return files_.best().best_score(); }
  /// The path of `last.ckpt`; empty until it is first written.
  const std::filesystem::path& last_model_path() const { return files_.last_path(); }
  /// The absolute path of the folder for the files; empty before the first fit.
  const std::filesystem::path& folder() const { return files_.folder(); }

  Order order() const override { return Order::checkpoint; }
  std::filesystem::path checkpoint_folder() const override { return options_.dirpath; }
  std::string state_key() const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// Throws CheckpointError if the folder can't be created or written to.
  void on_fit_start(Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  /// Warns if the best checkpoint is no longer there.
  void on_fit_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  /// Saves a checkpoint among the best ones and `last.ckpt`, each at most once for a step.
  void save(Run& run);
  /// Saves a checkpoint if it is among the best ones. Returns false if that can't be judged,
  /// because the monitor has no new value.
  bool save_top(Run& run);

  ModelCheckpointOptions options_;
  std::optional<Monitor> monitor_;
  CheckpointSchedule schedule_;
  KeptCheckpoints files_;
  bool waiting_ = false;  // a checkpoint is due as soon as the monitor has a new value
  bool resumed_ = false;
  bool fitting_ = false;
};

}  // namespace levin
