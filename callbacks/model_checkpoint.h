#pragma once

#include <levin/callbacks/checkpoint_name.h>
#include <levin/callbacks/monitor.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace levin {

/// Lightning's names, meanings and defaults.
struct ModelCheckpointOptions {
  /// Where the files go; empty: `checkpoints` in the run's folder.
  std::string dirpath{};
  /// The files' name, see CheckpointName; empty: `{epoch}-{step}`. ".ckpt" is added, and "-v1"
  /// where the name is taken by another file.
  std::string filename{};
  /// The metric that ranks checkpoints; empty: later ones are better.
  std::string monitor{};
  /// Say on stderr what was saved.
  bool verbose = false;
  /// Also keep `last.ckpt`, a checkpoint of the last time anything was due (else of the end).
  bool save_last = false;
  /// How many to keep: the best k of the monitor; 0: none, -1: all. Without a monitor 0, 1 or -1.
  int64_t save_top_k = 1;
  /// Also save when an exception ends training.
  bool save_on_exception = false;
  /// Leave out what only resuming needs: optimizers, random states, loops.
  bool save_weights_only = false;
  /// Whether less ("min") or more ("max") of the monitor is better.
  std::string mode = "min";
  /// Write each number of `filename` after its name: `{epoch}` gives `epoch=3`.
  bool auto_insert_metric_name = true;
  /// Save every n optimizer steps. At most one of the three may be given; none: every epoch.
  std::optional<int64_t> every_n_train_steps{};
  /// Save every so many minutes, at the next step.
  std::optional<double> train_time_interval{};
  /// Save every n epochs; 0: never.
  std::optional<int64_t> every_n_epochs{};
  /// For every_n_epochs: save when training epochs end (true) or after validation (false); nothing:
  /// whenever the monitor is new, that is, after validation where validation logs it.
  std::optional<bool> save_on_train_epoch_end{};
};

Fields describe(ModelCheckpointOptions& options);
/// Throws ConfigError for options that can't be, or that exclude each other.
void validate(const ModelCheckpointOptions& options);

/// Saves checkpoints, keeps the best and forgets the others. Lightning: ModelCheckpoint.
///
/// An older file is removed only once the newer one is on disk, and only if this callback wrote it,
/// in its present folder. NaN ranks as the worst value. A save by steps or minutes that ranks by a
/// validation metric waits for the next validation, so that weights and score belong together
/// (`last.ckpt` doesn't wait). A resumed run goes on with the files there are.
class ModelCheckpoint : public Callback {
 public:
  using Options = ModelCheckpointOptions;
  /// Throws ConfigError for options that can't be, or that exclude each other.
  explicit ModelCheckpoint(ModelCheckpointOptions options = {});

  struct Saved {
    std::filesystem::path path;
    double score = 0.0;  // the monitor's value; NaN became the worst one
  };
  /// The files kept, in the order they were saved.
  const std::vector<Saved>& best_k_models() const { return best_k_models_; }
  /// The best of them (without a monitor: the latest); empty where there is none.
  const std::filesystem::path& best_model_path() const { return best_model_path_; }
  std::optional<double> best_model_score() const { return best_model_score_; }
  /// Where `last.ckpt` is; empty before it was written.
  const std::filesystem::path& last_model_path() const { return last_model_path_; }
  /// The folder the files go to; known once fit starts.
  const std::filesystem::path& folder() const { return folder_; }

  Order order() const override { return Order::checkpoint; }
  std::string state_key() const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// Throws CheckpointError where the folder can't be made or written to.
  void on_fit_start(Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  bool step_due(Run& run);
  bool epoch_due(const Run& run) const;
  /// Saves what is to be saved at this step, once a step.
  void save(Run& run);
  void save_top(Run& run);
  void save_last(Run& run);
  bool is_full() const;
  /// The one to be removed first.
  std::vector<Saved>::const_iterator worst() const;
  /// `name` or a version of it that no file has, or one of `ours` has.
  std::filesystem::path agreed_path(Run& run, const char* kind, const std::string& name,
                                    const std::vector<std::filesystem::path>& ours) const;
  std::filesystem::path free_path(const Run& run, const std::string& name,
                                  const std::vector<std::filesystem::path>& ours) const;
  bool is_ours(const std::filesystem::path& path) const;
  void request(Run& run, const std::filesystem::path& path, SaveOptions save_options);
  /// After a resume: a run folder that was moved takes its files along; those gone don't count.
  void find_again(const std::filesystem::path& folder_before);
  void rank_again();
  void tell(Run& run) const;

  ModelCheckpointOptions options_;
  CheckpointName name_;
  std::optional<Monitor> monitor_;
  int64_t every_n_steps_ = 0;
  int64_t every_n_epochs_ = 0;
  double interval_seconds_ = 0.0;

  std::filesystem::path folder_;
  std::vector<Saved> best_k_models_;
  std::filesystem::path best_model_path_;
  std::optional<double> best_model_score_;
  std::filesystem::path last_model_path_;
  int64_t top_step_ = -1;   // when save_top last asked for a file
  int64_t last_step_ = -1;  // when save_last did
  int64_t seen_step_ = -1;  // when every_n_steps_ was last looked at
  double next_save_ = 0.0;  // on the monotonic clock
  bool waiting_ = false;    // a save is due once the monitor is new
  bool resumed_ = false;
  bool fitting_ = false;
};

}  // namespace levin
