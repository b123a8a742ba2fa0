#pragma once

#include <functional>
#include <utility>

#include <levin/framework/run/run.h>
#include <levin/framework/run/step.h>

namespace levin {

/// A Run with the side the loops need: they keep it up to date and take its requests.
class RunControl : public Run {
 public:
  Progress& progress() { return progress_; }
  using Run::progress;
  History& history() { return history_; }
  using Run::history;

  void set_module(Module* module) { module_ = module; }
  void set_optimizers(Optimizers* optimizers) { optimizers_ = optimizers; }
  /// The ranks of the strategy, which has to live as long as they are asked.
  void set_ranks(Ranks& ranks) { ranks_ = &ranks; }
  /// The folder in which `log_dir` makes the run's folder at its first call.
  void set_runs_folder(std::filesystem::path folder) { runs_folder_ = std::move(folder); }
  const std::filesystem::path& runs_folder() const { return runs_folder_; }
  /// What is told of each checkpoint that a run could go on from, once it is written.
  void set_on_saved(std::function<void(const std::filesystem::path&)> on_saved) {
    on_saved_ = std::move(on_saved);
  }
  void saved(const std::filesystem::path& path) const {
    if (on_saved_) on_saved_(path);
  }
  /// The run's folder; empty: to be made at the next `log_dir` call.
  void set_log_dir(std::filesystem::path path) { log_dir_ = std::move(path); }
  const std::filesystem::path& best_checkpoint() const { return best_checkpoint_; }
  const std::filesystem::path& last_checkpoint() const { return last_checkpoint_; }

  /// Where `log` goes from now on; null: nowhere, it is refused.
  void set_active(LoggedValues* metrics) { active_ = metrics; }
  LoggedValues* active() const { return active_; }
  /// What `metrics` and `progress_bar_metrics` show besides what is collected right now.
  MetricMap& known_metrics() { return metrics_; }
  MetricMap& known_progress_bar() { return progress_bar_; }

  Requests& requests() { return requests_; }

 private:
  std::function<void(const std::filesystem::path&)> on_saved_;
};

/// A Step with the side the loops need.
class StepControl : public Step {
 public:
  StepControl(Run& run, LoggedValues& metrics, bool on_step) : Step(run, metrics) {
    on_step_ = on_step;
  }

  void begin(int64_t batch_index, int64_t dataloader_index) {
    batch_index_ = batch_index;
    dataloader_index_ = dataloader_index;
    skip_epoch_ = muted_ = false;
  }
  void set_muted(bool muted) { muted_ = muted; }
  void set_forbidden(bool forbidden) { forbidden_ = forbidden; }
  bool skips_epoch() const { return skip_epoch_; }
};

/// Lets `log` of a Run go to `metrics` within a scope (null: refuses it).
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
