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

/// Where a run is: plain numbers that the loops keep and everybody may read.
struct Progress {
  Stage stage = Stage::fit;
  /// Epochs completed; the number, from 0, of the one in progress.
  int64_t epoch = 0;
  /// Optimizer steps done.
  int64_t global_step = 0;
  /// Batches of this epoch (or evaluation) done.
  int64_t batch = 0;
  /// Batches an epoch (or evaluation) will have; nothing where the end isn't known.
  std::optional<int64_t> num_batches{};
  std::optional<int64_t> max_epochs{};
  std::optional<int64_t> max_steps{};
  int64_t accumulate = 1;
  /// Whether this fit validates at all: what isn't logged by the end of its first epoch never will.
  bool has_validation = true;
  bool sanity_checking() const { return stage == Stage::sanity_check; }
};

/// How to save: see `Run::save`.
struct SaveOptions {
  bool weights_only = false;
  /// Files of this run to remove once the new one is on disk.
  std::vector<std::filesystem::path> replaces{};
};

/// What callbacks ask of the loop; it acts on them at the next step boundary.
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

/// What hooks outside a step see of the run, log to, and ask of it.
class Run {
 public:
  Stage stage() const { return progress_.stage; }
  int64_t epoch() const { return progress_.epoch; }
  int64_t global_step() const { return progress_.global_step; }
  const Progress& progress() const { return progress_; }

  Module& module() const { return *module_; }
  /// The optimizers with their schedulers; none outside fit.
  Optimizers& optimizers() const { return *optimizers_; }

  /// All metrics so far, latest values: of the last step, the last epoch, the last validation.
  /// Reads values back from a device where need be: not for every step.
  const MetricMap& metrics();
  /// Those logged with prog_bar.
  const MetricMap& progress_bar_metrics();
  /// The epochs so far.
  const History& history() const { return history_; }

  /// Logs a value of the epoch: key `name`, no weight. Throws ModuleError in hooks that are outside
  /// an epoch (setup, on_fit_start ...) and in predict.
  void log(std::string_view name, double value, LogOptions options = {});
  void log(std::string_view name, const torch::Tensor& value, LogOptions options = {});

  /// Ends training at the next boundary, once min_epochs and min_steps are met.
  void stop(std::string reason);
  bool stop_requested() const { return requests_.stop.has_value(); }
  /// Writes a checkpoint at the next boundary; a relative path is put under `log_dir()`. To be
  /// called on every rank: all have a part in it.
  void save(std::filesystem::path path, SaveOptions options = {});
  /// Whether a file of that (absolute) path is waiting to be written.
  bool save_requested(const std::filesystem::path& path) const {
    for (const auto& save : requests_.saves) {
      if (save.path == path) return true;
    }
    return false;
  }
  /// Puts weights (a Module's state_dict, or a checkpoint's) into the module at the next boundary.
  void load_weights(StateDict weights);
  void load_weights(const std::filesystem::path& checkpoint);
  /// Batches a step from the next window on. Throws ConfigError where n < 1.
  void accumulate(int64_t n);

  /// The run's folder, `<default_root_dir>/levin_logs/version_K`, made at the first call.
  const std::filesystem::path& log_dir();
  /// Records what `ckpt_path = "best"` and `"last"` mean from now on.
  void set_best_checkpoint(std::filesystem::path path) { best_checkpoint_ = std::move(path); }
  void set_last_checkpoint(std::filesystem::path path) { last_checkpoint_ = std::move(path); }

  /// The ranks that train together, for decisions that must not differ from rank to rank: what a
  /// rank finds out by itself (the time, whether a file exists) isn't to be acted on alone.
  Ranks& ranks() const { return *ranks_; }
  /// Whether this is rank 0, the one that writes files and prints. Lightning: is_global_zero.
  bool is_global_zero() const { return ranks_->is_zero(); }

 protected:
  // The part below is the loops' (RunControl in loops/run_control.h): they keep it up to date.
  Run() = default;
  ~Run() = default;

  Progress progress_;
  Requests requests_;
  History history_;
  MetricMap metrics_;
  MetricMap progress_bar_;
  LoggedValues* active_ = nullptr;  // what `log` goes to; null where logging isn't allowed
  std::string hook_;                // for the message where logging isn't allowed
  Module* module_ = nullptr;
  Optimizers* optimizers_ = nullptr;
  Ranks* ranks_ = &single_rank();
  std::filesystem::path runs_folder_;
  std::filesystem::path log_dir_;
  std::filesystem::path best_checkpoint_;
  std::filesystem::path last_checkpoint_;
};

}  // namespace levin
