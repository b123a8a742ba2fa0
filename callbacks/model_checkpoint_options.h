#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>

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
/// Returns the options with `~` at the beginning of `dirpath` replaced by the home folder. Throws
/// ConfigError if that isn't known.
ModelCheckpointOptions with_home_expanded(ModelCheckpointOptions options);
/// Returns the key of a callback's state, which tells callbacks apart that differ in what they save
/// and when.
std::string state_key_of(const ModelCheckpointOptions& options);
/// Throws ConfigError if an option is out of range or options exclude each other.
void validate(const ModelCheckpointOptions& options);

}  // namespace levin
