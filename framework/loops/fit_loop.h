#pragma once

#include <exception>
#include <filesystem>

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/checkpointer.h>
#include <levin/framework/loops/fit_state.h>
#include <levin/framework/loops/stopping.h>
#include <levin/framework/loops/thread_choice.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/loops/validation.h>
#include <levin/framework/optimizers/schedules.h>

namespace levin {

/// Trains for epochs of batches, with validation in between. Lightning: _FitLoop,
/// _TrainingEpochLoop.
///
/// This class is the order of what happens; each thing that happens has a class of its own:
/// TrainingStep trains on a batch, Validation validates, Stopping decides when training ends,
/// Checkpointer and FitState save and load, ThreadChoice finds the number of threads.
///
/// A step boundary comes after an optimizer step, its hooks, its row of the loggers and the
/// validation that is due after it. Requests of callbacks are acted on there, and checkpoints are
/// taken only there and at the end of an epoch, which is a boundary too.
class FitLoop {
 public:
  /// Puts the limits into the run's progress. `optimizers` must outlive the loop. Throws
  /// ConfigError for options that don't fit the data, DataError if the loader has no full batch,
  /// and ModuleError for more than one optimizer.
  FitLoop(LoopParts parts, const DataLoaders& train, DataLoaders val, Optimizers& optimizers);
  FitLoop(const FitLoop&) = delete;
  FitLoop& operator=(const FitLoop&) = delete;

  /// Lets `run` go on where `checkpoint` was taken. Throws CheckpointError if it is of another
  /// model, and leaves the module as it was then.
  void resume(const StateDict& checkpoint) { state_.resume(checkpoint); }
  /// Trains until a limit, a request or a signal ends it; the run's history says which.
  void run();

  /// Writes a checkpoint of the state as it is, by all ranks together.
  void save_checkpoint(const std::filesystem::path& path) { checkpointer_.save_now(path); }
  /// Writes what can be saved after `error` has ended `run`: see Checkpointer.
  void save_after_exception(const std::exception& error) {
    checkpointer_.save_after_exception(error, at_boundary_);
  }
  /// The number of threads that `threads = "auto"` has found, and how they wait; 0 threads
  /// otherwise.
  ThreadSetting threads() const { return threads_.setting(); }

 private:
  void run_epoch();
  void run_batches();
  bool next_batch(Batch& batch);
  bool at_end();
  void train_batch(Batch& batch);
  void log_step();
  void cut_epoch_short(bool has_validated);
  void end_epoch();
  void act_on_requests(bool in_step);

  LoopParts parts_;
  Schedules schedules_;
  LoggedValues metrics_;  // of the training epoch
  std::optional<int64_t> num_batches_;
  TrainingData data_;
  Validation validation_;
  TrainingStep training_step_;
  StepControl step_;
  Stopping stopping_;
  ThreadChoice threads_;
  FitState state_;
  Checkpointer checkpointer_;
  bool epoch_complete_ = false;  // every batch of the epoch was seen
  bool at_boundary_ = false;     // the state is one that a run can go on from
};

}  // namespace levin
