#pragma once

#include <functional>
#include <utility>

#include <levin/framework/run/run.h>
#include <levin/framework/run/step.h>

namespace levin {

/// A Run with the operations that only the Trainer and its loops may use: they keep it up to date
/// and act on what callbacks request. Callbacks and modules see it as a Run.
class RunControl : public Run {
 public:
  Progress& progress() { return progress_; }
  using Run::progress;
  History& history() { return history_; }
  using Run::history;

  void set_module(Module* module) { module_ = module; }
  void set_optimizers(Optimizers* optimizers) { optimizers_ = optimizers; }
  /// Sets the ranks of the strategy, which has to live as long as they are asked.
  void set_ranks(Ranks& ranks) { ranks_ = &ranks; }
  /// Sets the folder in which the first call of `log_dir` makes the run's folder.
  void set_runs_folder(std::filesystem::path folder) { runs_folder_ = std::move(folder); }
  const std::filesystem::path& runs_folder() const { return runs_folder_; }
  /// Sets the function that is told of each complete checkpoint, one that a run can go on from,
  /// after it was written.
  void set_on_saved(std::function<void(const std::filesystem::path&)> on_saved) {
    on_saved_ = std::move(on_saved);
  }
  /// Tells that function, if there is one, that a complete checkpoint was written to `path`.
  void saved(const std::filesystem::path& path) const {
    if (on_saved_) on_saved_(path);
  }
  /// Sets the run's folder; with an empty path the next call of `log_dir` makes a new one.
  void set_log_dir(std::filesystem::path path) { log_dir_ = std::move(path); }
  const std::filesystem::path& best_checkpoint() const { return best_checkpoint_; }
  const std::filesystem::path& last_checkpoint() const { return last_checkpoint_; }

  /// Makes `metrics` the place where Run::log puts values from now on; null: `log` refuses them.
  /// LoggingScope does this for a scope.
  void set_active(LoggedValues* metrics) { active_ = metrics; }
  LoggedValues* active() const { return active_; }
  /// Adds the values of the step just done to `known_metrics`, so that they are still shown while
  /// values of something else, a validation for example, are collected.
  using Run::keep_step_values;
  /// What `metrics` and `progress_bar_metrics` show besides the values being collected right now.
  MetricMap& known_metrics() { return metrics_; }
  MetricMap& known_progress_bar() { return progress_bar_; }

  /// What callbacks and the module have requested since the last boundary.
  Requests& requests() { return requests_; }

 private:
  std::function<void(const std::filesystem::path&)> on_saved_;
};

/// A Step with the operations that only the loops may use.
class StepControl : public Step {
 public:
  /// `on_step`: whether `log` keeps the step's value by default (training) or the epoch's
  /// (evaluation).
  StepControl(Run& run, LoggedValues& metrics, bool on_step) : Step(run, metrics) {
    on_step_ = on_step;
  }

  /// Begins the next batch, number `batch_index` of loader `dataloader_index`, both from 0.
  void begin(int64_t batch_index, int64_t dataloader_index) {
    batch_index_ = batch_index;
    dataloader_index_ = dataloader_index;
    skip_epoch_ = muted_ = false;
  }
  /// While muted, `log` does nothing.
  void set_muted(bool muted) { muted_ = muted; }
  /// While forbidden, `log` throws ModuleError.
  void set_forbidden(bool forbidden) { forbidden_ = forbidden; }
  /// Whether a hook has called `skip_epoch` in this batch.
  bool skips_epoch() const { return skip_epoch_; }
};

/// Lets Run::log put values into `metrics` while this object exists, and puts back what was before;
/// with null, `log` refuses them.
class LoggingScope {
 public:
  LoggingScope(RunControl& run, LoggedValues* metrics) : run_(run), before_(run.active()) {
    run_.set_active(metrics);
  }
  ~LoggingScope() { run_.set_active(before_); }
  LoggingScope(const LoggingScope&) = delete;
  LoggingScope& operator=(const LoggingScope&) = delete;

 private:
  RunControl& run_;
  LoggedValues* before_;
};

}  // namespace levin
