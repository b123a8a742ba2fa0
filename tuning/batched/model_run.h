#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include <levin/framework/loggers/logger.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/run_control.h>
#include <levin/tuning/batched/stacked_models.h>

namespace levin {

/// The run of one of several models that are trained together, as the callbacks and loggers of that
/// model see it: with its own metrics, under the names that they have if it is trained alone, its
/// own folder and its own requests. Hooks inside a step aren't called.
///
/// A request to stop leaves the model as it is from the end of the epoch on. Checkpoints that
/// callbacks ask for hold the weights of their moment, but no state of an optimizer (as with
/// save_weights_only). They are written when the training of the model ends, so that files of many
/// models don't take longer than their training; those that a later one replaces aren't written.
class ModelRun {
 public:
  /// What a checkpoint keeps of the moment that it is asked for.
  struct Snapshot {
    int64_t epoch = 0;
    int64_t global_step = 0;
    StateDict model;  // a copy
  };
  /// Returns what the checkpoint of a moment holds. It is called when the checkpoint is written,
  /// for most of them never are.
  using MakeCheckpoint = std::function<StateDict(const Snapshot&)>;

  /// `models` and `whole`, the run of all models, must outlive this object. The folder of the run
  /// is made in `runs_folder` when it is asked for.
  ModelRun(StackedModels& models, size_t number, const std::filesystem::path& runs_folder,
           MakeCheckpoint make_checkpoint);

  /// Adds a callback or a logger, before the fit.
  void add(std::unique_ptr<Callback> callback);
  void add_logger(std::unique_ptr<Logger> logger) { loggers_.push_back(std::move(logger)); }
  Run& run() { return run_; }
  /// Whether the model is no longer trained, because a callback has asked for that or the fit has
  /// ended.
  bool has_ended() const { return has_ended_; }

  // What the fit of all models calls; `whole` is its run.

  /// Starts the loggers, which get `settings`, and calls on_fit_start.
  void begin(Run& whole, const Value& settings);
  /// Calls a hook of all callbacks, in the order in which the Trainer calls them.
  void call(void (Hooks::*hook)(Run&), Run& whole);
  /// Takes metrics of this model that have got a new value.
  void take_metrics(const MetricMap& fresh);
  void forget_metrics();
  /// Gives the loggers a row of the values of a step, or of a validation.
  void log_step(const MetricMap& values, const Run& whole);
  void log_validation(const MetricMap& values, const Run& whole);
  /// Acts on what callbacks have asked for. At the end of an epoch (`ends_epoch`), a request to
  /// stop ends the training of the model.
  void act(Run& whole, bool ends_epoch);
  /// Ends the training, unless it has ended: calls the hooks that then fire, and writes the
  /// checkpoints, unless a signal has interrupted the fit.
  void end(Run& whole);
  /// Tells callbacks and loggers that the fit has failed.
  void fail(const std::exception& error, Run& whole);

 private:
  /// A checkpoint that is still to be written.
  struct Pending {
    Requests::Save request;
    Snapshot snapshot;
  };

  void follow(const Run& whole);
  void save(const Requests::Save& request);
  bool is_dropped(const std::filesystem::path& path) const;
  void write_pending();
  bool wants_to_stop(const Progress& progress);
  void for_each_logger(const std::function<void(Logger&)>& use);

  StackedModels& models_;
  size_t number_;
  MakeCheckpoint make_checkpoint_;
  Optimizers no_optimizers_;
  RunControl run_;
  std::vector<std::unique_ptr<Callback>> callbacks_;
  std::vector<std::unique_ptr<Logger>> loggers_;
  std::vector<Requests::Stop> stops_;
  std::vector<Pending> pending_;
  bool is_past_epoch_ = false;  // the run is at an epoch's end, which `whole` hasn't counted yet
  bool has_ended_ = false;
};

}  // namespace levin
