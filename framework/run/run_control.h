#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <levin/framework/run/run.h>
#include <levin/framework/run/step.h>

namespace levin {

/// A Run with the operations that only the Trainer and its loops may use: they keep it up to date
/// and act on what callbacks request. Callbacks and modules see the same object as a Run.
///
///     RunControl run;
///     run.set_module(&module);
///     run.progress().stage = Stage::fit;
///     hooks.call(&Hooks::on_train_start, run);
///     const Requests requests = std::exchange(run.requests(), {});     // at a boundary
///
/// It owns neither the module nor the optimizers, ranks and logged values; they have to live as
/// long as hooks are called.
class RunControl : public Run {
 public:
  /// Progress and history, which the loops write and Run shows.
  Progress& progress() { return progress_; }
  using Run::progress;
  History& history() { return history_; }
  using Run::history;

  /// Sets what Run::module and Run::optimizers return.
  void set_module(Module* module) { module_ = module; }
  void set_optimizers(Optimizers* optimizers) { optimizers_ = optimizers; }
  /// Sets what Run::ranks returns: the ranks of the strategy, which has to live as long as they are
  /// asked. Until then it is a single rank.
  void set_ranks(Ranks& ranks) { ranks_ = &ranks; }
  /// Sets what Run::place returns.
  void set_place(const Place& place) { place_ = place; }
  /// Sets what Run::loggers returns, which has to live as long as hooks are called; null: none.
  void set_loggers(const std::vector<Logger*>* loggers) { loggers_ = loggers; }
  /// Sets the loaders that Run::train_dataloader and its like return; null: none.
  void set_dataloaders(std::shared_ptr<const StageLoaders> loaders) {
    loaders_ = std::move(loaders);
  }
  /// Sets what Run::visit_training_batches calls; empty: it throws.
  void set_training_pass(
      std::function<void(const std::function<void(const Batch&, Step&)>&)> pass) {
    training_pass_ = std::move(pass);
  }
  /// Sets what Run::wait_for_saves calls; empty: it does nothing.
  void set_wait_for_saves(std::function<void()> wait) { wait_for_saves_ = std::move(wait); }
  /// Sets the folder in which the first call of Run::log_dir makes the run's folder.
  void set_runs_folder(std::filesystem::path folder) { runs_folder_ = std::move(folder); }
  const std::filesystem::path& runs_folder() const { return runs_folder_; }
  /// Sets the function that is called after each complete checkpoint was written, that is, one that
  /// a run can be resumed from. Empty: none is called.
  void set_on_saved(std::function<void(const std::filesystem::path&)> on_saved) {
    on_saved_ = std::move(on_saved);
  }
  /// Tells that function that a complete checkpoint was written to `path`. Rank 0 calls this after
  /// each checkpoint, because the function is set on rank 0 only.
  void saved(const std::filesystem::path& path) const {
    if (on_saved_) on_saved_(path);
  }
  /// Sets the run's folder, for a resumed run. After an empty path, the next call of Run::log_dir
  /// makes a new folder.
  void set_log_dir(std::filesystem::path path) { log_dir_ = std::move(path); }
  /// What was set by set_best_checkpoint and set_last_checkpoint; empty if nothing was.
  const std::filesystem::path& best_checkpoint() const { return best_checkpoint_; }
  const std::filesystem::path& last_checkpoint() const { return last_checkpoint_; }

  /// Makes Run::log put values into `metrics` from now on; with null, `log` throws ModuleError. Use
  /// LoggingScope, which puts back what was set before.
  void set_active(LoggedValues* metrics) { active_ = metrics; }
  LoggedValues* active() const { return active_; }
  /// Adds the values of the step just done to `known_metrics` and `known_progress_bar`, so that
  /// they are still shown while the values of something else, such as a validation, are collected,
  /// and after LoggedValues::forget_step_values.
  using Run::keep_step_values;
  /// Makes `metrics` show the values of a pass that has ended. Each of them counts as a new one.
  void take_metrics(const MetricMap& values) {
    for (const auto& [name, value] : values) {
      metrics_[name] = value;
      note_update(name);
    }
  }
  /// Forgets all metrics, before a fit and after the sanity check.
  void forget_metrics() {
    metrics_.clear();
    progress_bar_.clear();
    logged_.clear();
    updates_.clear();
    updated_in_.clear();
  }
  /// What `updates_of` counts.
  UpdateCounts& update_counts() { return updates_; }
  /// The epoch in which each metric got its last value.
  UpdateCounts& update_epochs() { return updated_in_; }
  /// The metrics that got a value in the present epoch.
  MetricMap metrics_of_epoch() {
    MetricMap result;
    for (const auto& [name, value] : metrics()) {
      const auto found = updated_in_.find(name);
      if (found != updated_in_.end() && found->second == epoch()) result.emplace(name, value);
    }
    return result;
  }
  /// What `metrics` and `progress_bar_metrics` show besides the values that are being collected.
  MetricMap& known_metrics() { return metrics_; }
  MetricMap& known_progress_bar() { return progress_bar_; }
  /// What `logged_metrics` shows.
  MetricMap& known_logged() { return logged_; }

  /// What callbacks and the module have requested since the last boundary. The loop takes it and
  /// leaves it empty.
  Requests& requests() { return requests_; }

 private:
  std::function<void(const std::filesystem::path&)> on_saved_;
};

/// A Step with the operations that only the loops may use. A loop calls `begin` for each batch of a
/// pass and then hands it to the hooks as a Step.
class StepControl : public Step {
 public:
  /// Keeps both references. `on_step` says which value `log` keeps by default: that of the step (in
  /// training), or else that of the epoch (in evaluation).
  StepControl(Run& run, LoggedValues& metrics, bool on_step) : Step(run, metrics) {
    on_step_ = on_step;
  }

  /// Begins the next batch, which is number `batch_index` of loader `dataloader_index`, both
  /// counted from 0. Also ends `skip_epoch`, `set_muted` and `set_batch_size`.
  void begin(int64_t batch_index, int64_t dataloader_index) {
    batch_index_ = batch_index;
    dataloader_index_ = dataloader_index;
    skip_epoch_ = muted_ = false;
    batch_size_.reset();
  }
  /// What `set_batch_size` was told since the last `begin`, if anything.
  const std::optional<int64_t>& batch_size() const { return batch_size_; }
  /// Sets who does what a module that optimizes by hand asks for; null: nobody.
  void set_manual(ManualOptimization* manual) { manual_ = manual; }
  /// Sets the norm that `gradient_norm` returns a copy of; it must outlive this object.
  void set_gradient_norm(const torch::Tensor* norm) { gradient_norm_ = norm; }
  /// While muted, `log` does nothing. Used while an optimizer evaluates its closure again, because
  /// only the first evaluation of a batch is logged.
  void set_muted(bool muted) { muted_ = muted; }
  /// While forbidden, `log` throws ModuleError. Used in predict.
  void set_forbidden(bool forbidden) { forbidden_ = forbidden; }
  /// Whether a hook has called `skip_epoch` since the last `begin`.
  bool skips_epoch() const { return skip_epoch_; }
};

/// Makes Run::log put values into `metrics` while this object exists, and puts back what was set
/// before when it is destroyed. With null, `log` throws ModuleError meanwhile.
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
