#pragma once

#include <levin/callbacks/best_checkpoints.h>
#include <levin/callbacks/checkpoint_name.h>
#include <levin/callbacks/checkpoint_schedule.h>
#include <levin/callbacks/monitor.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace levin {

/// Options of ModelCheckpoint. Names, meanings and defaults are Lightning's.
struct ModelCheckpointOptions {
  /// The folder for the files. By default `checkpoints` in the run's folder.
  std::string dirpath{};
  /// The pattern of the file names; see CheckpointName. By default `{epoch}-{step}`. The extension
  /// ".ckpt" is added, preceded by "-v1", "-v2" and so on if a file of that name exists.
  std::string filename{};
  /// The name of the metric by which checkpoints are ranked. If empty, a later checkpoint is
  /// better.
  std::string monitor{};
  /// Print the path of each checkpoint to stderr.
  bool verbose = false;
  /// Also keep `last.ckpt`, which is overwritten whenever a checkpoint is due. If none was due
  /// during training, it is written at the end.
  /// With "link", it is a symbolic link to the checkpoint that was saved among the best ones at
  /// that moment; if none was, it is a file.
  SwitchOrName save_last = false;
  /// The number of checkpoints to keep: the best ones by the monitor. 0 keeps none and -1 keeps
  /// all. Without a monitor, only 0, 1 (the latest) and -1 are possible.
  int64_t save_top_k = 1;
  /// Also save a checkpoint if an exception ends training.
  bool save_on_exception = false;
  /// Save the weights only. The state that is needed to resume is left out: optimizers, schedules,
  /// random generators and the position in the data.
  bool save_weights_only = false;
  /// "min" if a smaller value of the monitor is better, "max" if a larger one is.
  std::string mode = "min";
  /// Write the name of each number in `filename` before it: `{epoch}` becomes `epoch=3`.
  bool auto_insert_metric_name = true;
  /// Add "-v1" and so on to the name of a file that exists already. If not, that file is replaced,
  /// whoever wrote it.
  bool enable_version_counter = true;
  /// Save every n optimizer steps; if a batch has several steps, after the first batch that reaches
  /// or passes a multiple of n. At most one of this and the next two options may be set; if none
  /// is, a checkpoint is saved every epoch.
  std::optional<int64_t> every_n_train_steps{};
  /// Save at the first step after this many minutes, again and again.
  std::optional<double> train_time_interval{};
  /// Save every n epochs; 0 means never.
  std::optional<int64_t> every_n_epochs{};
  /// With every_n_epochs, whether to save at the end of the training epoch (true) or after
  /// validation (false). By default, whenever the monitor has a new value, which is after
  /// validation if validation_step logs it.
  std::optional<bool> save_on_train_epoch_end{};
  /// Let a thread write the files while training goes on. Their bytes are those of the step at
  /// which they were due, but memory for a copy of the state is needed meanwhile. A file that is
  /// still being written when the next is due is awaited. Lightning: AsyncCheckpointIO.
  bool asynchronous = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ModelCheckpointOptions& options);
/// Throws ConfigError if an option is out of range or options exclude each other.
void validate(const ModelCheckpointOptions& options);

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
  const std::vector<Saved>& best_k_models() const { return best_.all(); }
  /// The path of the best of them, or without a monitor of the latest; empty if there is none.
  const std::filesystem::path& best_model_path() const { return best_.best_path(); }
  /// The score of the best of them; nothing if there is none or no monitor.
  std::optional<double> best_model_score() const { return best_.best_score(); }
  /// The path of `last.ckpt`; empty until it is first written.
  const std::filesystem::path& last_model_path() const { return last_model_path_; }
  /// The absolute path of the folder for the files; empty before the first fit.
  const std::filesystem::path& folder() const { return folder_; }

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
  /// Warns of metrics that the pattern of the file names has, but that aren't logged.
  void warn_of_unknown(Run& run, const std::string& name) const;
  void save_last(Run& run);
  /// Notes that `last.ckpt` gets the state of this step, and chooses its path.
  void take_last(Run& run);
  /// Returns a path for a file called `name`. A version is added to the name if such a file exists,
  /// unless it is one of `ours`, which may be replaced. agreed_path gives every rank the path that
  /// rank 0 found; `kind` distinguishes calls about different files.
  std::filesystem::path agreed_path(Run& run, const char* kind, const std::string& name,
                                    const std::vector<std::filesystem::path>& ours) const;
  std::filesystem::path path_for(const Run& run, const std::string& name,
                                 const std::vector<std::filesystem::path>& ours) const;
  void request(Run& run, const std::filesystem::path& path, SaveOptions save_options);
  /// After a resume, updates the paths if the run's folder was moved, and drops those of files that
  /// no longer exist. Only rank 0 looks; the other ranks get what it has found.
  void find_again(Run& run, const std::filesystem::path& folder_before);
  /// Tells the run what `ckpt_path = "best"` and `"last"` mean from now on.
  void tell(Run& run) const;

  ModelCheckpointOptions options_;
  CheckpointName name_;
  std::optional<Monitor> monitor_;
  CheckpointSchedule schedule_;

  std::filesystem::path folder_;
  BestCheckpoints best_;
  std::filesystem::path last_model_path_;
  int64_t top_step_ = -1;   // the step at which save_top last saved
  int64_t last_step_ = -1;  // the step at which save_last last saved
  bool waiting_ = false;    // a checkpoint is due as soon as the monitor has a new value
  bool resumed_ = false;
  bool fitting_ = false;
};

}  // namespace levin
