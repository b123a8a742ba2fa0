#pragma once

#include <optional>
#include <string>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/loops/validation_schedule.h>
#include <levin/framework/optimizers/schedules.h>

namespace levin {

/// Epochs of training with the validation in between. Lightning: _FitLoop, _TrainingEpochLoop.
///
/// A step boundary is where an optimizer step, its hooks, its log and the validation due after it
/// are done: there requests are acted on, and only there checkpoints are taken. The end of an epoch
/// is another boundary.
class FitLoop {
 public:
  /// Throws ConfigError and DataError for what can't be trained: no batches, limits that don't fit.
  FitLoop(LoopParts parts, const DataLoaders& train, DataLoaders val, Optimizers& optimizers);

  /// Trains until a limit, a request or a signal ends it. The run's history says which.
  void run();

  /// What `threads = "auto"` came to; 0 threads where it wasn't asked for.
  ThreadSetting threads() const { return threads_; }

  /// Writes the checkpoints asked for in on_exception; the state may be that of a step half done.
  /// Where a hook broke its contract at a step boundary, also `checkpoints/failed.ckpt`.
  void save_after_exception(const std::exception& error);

  /// Writes the state as it is, every rank its part; a file, or a folder where it is sharded.
  void save_checkpoint(const std::filesystem::path& path);
  /// Everything a later run needs to go on with the same bits: see framework/loops/fit_state.cpp.
  StateDict checkpoint(bool weights_only);
  /// Goes on where the checkpoint was taken. Throws CheckpointError where it is of another model,
  /// and leaves the module as it was.
  void resume(const StateDict& checkpoint);

 private:
  void choose_threads();
  double steps_left() const;
  bool run_watched(const Batch& batch, bool window_ends);
  void check_sanity();
  bool is_done();
  void run_epoch();
  void run_batches();
  bool next_batch(Batch& batch);
  bool at_end();
  void train_batch(Batch& batch);
  void note_input(const Batch& batch);
  void log_step();
  void end_epoch();
  void validate();
  /// Acts on what callbacks asked for. `in_step`: whether ranks may not wait for each other here.
  void act_on_requests(bool in_step);
  bool stop_is_agreed(const Requests& requests, bool in_step);
  void save(const Requests::Save& request);
  void write(const Requests::Save& request, const StateDict& state);
  void save_after_broken_contract(const std::exception& error);
  void handle_interrupt();
  bool may_stop() const;
  double elapsed_seconds() const;
  StateDict state(bool weights_only);
  StateDict loop_state();
  StateDict rank_states();
  void load_rank_state(const StateDict& checkpoint);
  MetricMap agreed_metrics();
  void load_state(const StateDict& checkpoint);
  void load_loop_state(const StateDict& state);

  LoopParts parts_;
  Optimizers& optimizers_;
  Schedules schedules_;
  LoggedValues metrics_;
  DataLoaders train_;  // for the trial of threads, which reads by itself
  std::optional<int64_t> num_batches_;
  TrainingData data_;
  EvaluationLoop validation_;
  ValidationSchedule validation_schedule_;
  TrainingStep training_step_;
  StepControl step_;

  std::optional<InputDescription> input_;  // of the first training batch, for checkpoints
  std::string asked_to_stop_;              // by a callback of this rank; others may not know yet
  std::optional<StateDict> boundary_;      // the state where an epoch was cut short
  StateDict random_to_restore_;
  std::optional<StateDict> random_at_end_;  // of this rank, before all draw alike again
  ThreadSetting threads_{.threads = 0};
  CrowdWatch crowd_;
  bool resumed_ = false;
  bool alone_ = false;           // after a failure: the other ranks may be gone
  bool epoch_complete_ = false;  // every batch of the epoch was seen
  bool at_boundary_ = false;     // the state is one to go on from
  int64_t total_batches_ = 0;
  std::string stop_reason_;      // asked for, but perhaps not yet allowed by min_epochs
  bool stop_requested_ = false;  // by a callback, not a limit
  double time_limit_ = 0.0;      // seconds; 0: none
  double time_before_ = 0.0;     // spent before a resume
  double started_ = 0.0;
};

}  // namespace levin
