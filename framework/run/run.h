#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/core/stage.h>
#include <levin/framework/logged/history.h>
#include <levin/framework/logged/logged_values.h>

namespace levin {

class Module;
class Optimizer;
class Optimizers;

/// Where a run is, in numbers that the loops keep up to date.
struct Progress {
  Stage stage = Stage::fit;
  /// The number of epochs completed, which is also the number, from 0, of the one in progress.
  int64_t epoch = 0;
  /// The number of optimizer steps done.
  int64_t global_step = 0;
  /// The number of batches of this epoch (or evaluation) that are done.
  int64_t batch = 0;
  /// The number of batches of an epoch (or evaluation); nothing if it isn't known in advance.
  std::optional<int64_t> num_batches{};
  /// The limits of this fit; nothing if there is none.
  std::optional<int64_t> max_epochs{};
  std::optional<int64_t> max_steps{};
  /// The number of batches whose gradients make one optimizer step.
  int64_t accumulate = 1;
  /// Whether this fit validates. If not, metrics that the first epoch doesn't log never come.
  bool has_validation = true;
  bool sanity_checking() const { return stage == Stage::sanity_check; }
};

/// How `Run::save` saves.
struct SaveOptions {
  /// Leave out what only resuming needs: the optimizers, random generators and loops.
  bool weights_only = false;
  /// Checkpoints to remove once the new one is on disk.
  std::vector<std::filesystem::path> replaces{};
};

/// The requests that callbacks made through Run; the loop acts on them at the next step boundary.
struct Requests {
  struct Save {
    std::filesystem::path path;
    SaveOptions options;
  };
  std::optional<std::string> stop;
  std::vector<Save> saves;
  std::optional<StateDict> weights;
  std::optional<int64_t> accumulate;
  bool empty() const { return !stop && saves.empty() && !weights && !accumulate; }
};

/// The run in progress, as hooks get it: where it is, its metrics, `log`, and requests. The loop
/// acts on requests at the next step boundary, when no step is half done.
///
///     void on_train_epoch_end(levin::Run& run) override {
///       if (run.metrics().at("val_loss") < 0.1) run.stop("val_loss is low enough");
///     }
class Run {
 public:
  Stage stage() const { return progress_.stage; }
  int64_t epoch() const { return progress_.epoch; }
  int64_t global_step() const { return progress_.global_step; }
  const Progress& progress() const { return progress_; }

  Module& module() const { return *module_; }
  /// The optimizers with their schedulers; empty outside fit.
  Optimizers& optimizers() const { return *optimizers_; }

  /// The latest value of every metric logged so far: of the last step, the last epoch and the last
  /// validation. Copies values from a GPU if need be, so don't call it in every step.
  const MetricMap& metrics();
  /// The same for the metrics that were logged with `prog_bar`.
  const MetricMap& progress_bar_metrics();
  /// The metrics of each epoch so far.
  const History& history() const { return history_; }

  /// Logs a value of the epoch as `name`; if it is logged several times, the mean counts each time
  /// once. Throws ModuleError in hooks that are outside an epoch (setup, on_fit_start ...) and in
  /// predict.
  void log(std::string_view name, double value, LogOptions options = {});
  void log(std::string_view name, const torch::Tensor& value, LogOptions options = {});

  /// Requests that training end at the next boundary, once min_epochs and min_steps are met.
  /// `reason` becomes `History::stop_reason`.
  void stop(std::string reason);
  bool stop_requested() const { return requests_.stop.has_value(); }
  /// Requests a checkpoint at the next boundary; a relative path is below `log_dir()`. Must be
  /// called on every rank, since each has a part in it.
  void save(std::filesystem::path path, SaveOptions options = {});
  /// Whether a checkpoint with that absolute path was requested and isn't written yet.
  bool save_requested(const std::filesystem::path& path) const {
    for (const auto& save : requests_.saves) {
      if (save.path == path) return true;
    }
    return false;
  }
  /// Requests that weights (a Module's state_dict, or those of a checkpoint) be loaded into the
  /// module at the next boundary.
  void load_weights(StateDict weights);
  void load_weights(const std::filesystem::path& checkpoint);
  /// Requests that `n` batches make an optimizer step from the next one on. Throws ConfigError if
  /// n < 1.
  void accumulate(int64_t n);

  /// The folder of the run, `<default_root_dir>/levin_logs/version_K`. The first call makes it.
  const std::filesystem::path& log_dir();
  /// Sets the checkpoints that `ckpt_path = "best"` and `"last"` stand for from now on.
  void set_best_checkpoint(std::filesystem::path path) { best_checkpoint_ = std::move(path); }
  void set_last_checkpoint(std::filesystem::path path) { last_checkpoint_ = std::move(path); }

  /// The ranks that train together, for decisions that must not differ from rank to rank: what a
  /// rank finds out by itself (the time, whether a file exists) isn't to be acted on alone.
  Ranks& ranks() const { return *ranks_; }
  /// Whether this is rank 0, the one that writes files and prints. Lightning: is_global_zero.
  bool is_global_zero() const { return ranks_->is_zero(); }

 protected:
  // The part below is for the loops, which use RunControl (run_control.h).
  Run() = default;
  ~Run() = default;

  /// Adds the values of the step just done to those that `metrics` shows later, too.
  void keep_step_values();

  Progress progress_;
  Requests requests_;
  History history_;
  MetricMap metrics_;
  MetricMap progress_bar_;
  LoggedValues* active_ = nullptr;  // where `log` puts values; null while logging isn't allowed
  Module* module_ = nullptr;
  Optimizers* optimizers_ = nullptr;
  Ranks* ranks_ = &single_rank();
  std::filesystem::path runs_folder_;
  std::filesystem::path log_dir_;
  std::filesystem::path best_checkpoint_;
  std::filesystem::path last_checkpoint_;
};

}  // namespace levin
