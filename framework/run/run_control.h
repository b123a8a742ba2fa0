#pragma once

#include <utility>

#include <levin/framework/run/run.h>
#include <levin/framework/run/step.h>

namespace levin {

/// A Run with the functions by which the loops and the Trainer keep it up to date and take its
/// requests. User code sees only Run.
class RunControl : public Run {
 public:
  Progress& progress() { return progress_; }
  using Run::progress;
  History& history() { return history_; }
  using Run::history;

  void set_module(Module* module) { module_ = module; }
  void set_optimizers(Optimizers* optimizers) { optimizers_ = optimizers; }
  void set_rank(int64_t rank, int64_t world_size) {
    rank_ = rank;
    world_size_ = world_size;
  }
  /// Sets the function by which `log_dir` makes the run's folder at its first call.
  void set_log_dir_maker(std::function<std::filesystem::path()> make) {
    make_log_dir_ = std::move(make);
  }
  /// Sets how ranks agree: `from_rank_zero` calls `share`, `any_rank` calls the function of its
  /// name.
  void set_exchange(
      std::function<std::string(const std::string&, const std::function<std::string()>&)> share,
      std::function<bool(const std::string&, bool)> any_rank) {
    share_ = std::move(share);
    any_rank_ = std::move(any_rank);
  }
  /// Sets a function that `saved` calls with the path of each checkpoint that a run could go on
  /// from, once it is written.
  void set_on_saved(std::function<void(const std::filesystem::path&)> on_saved) {
    on_saved_ = std::move(on_saved);
  }
  void saved(const std::filesystem::path& path) const {
    if (on_saved_) on_saved_(path);
  }
  /// Sets the run's folder; if it is empty, the next call of `log_dir` makes one.
  void set_log_dir(std::filesystem::path path) { log_dir_ = std::move(path); }
  const std::filesystem::path& best_checkpoint() const { return best_checkpoint_; }
  const std::filesystem::path& last_checkpoint() const { return last_checkpoint_; }

  /// Sets where `log` puts values from now on; null: `log` throws ModuleError.
  void set_active(LoggedValues* metrics) { active_ = metrics; }
  LoggedValues* active() const { return active_; }
  /// The values that `metrics` and `progress_bar_metrics` return besides those being collected.
  MetricMap& known_metrics() { return metrics_; }
  MetricMap& known_progress_bar() { return progress_bar_; }

  Requests& requests() { return requests_; }

 private:
  std::function<void(const std::filesystem::path&)> on_saved_;
};

/// A Step with the functions by which the loops keep it up to date. User code sees only Step.
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

/// Makes `Run::log` put values into `metrics` until the end of a scope; null: it throws
/// ModuleError.
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
