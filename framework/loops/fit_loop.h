#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <utility>

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/captured_step.h>
#include <levin/framework/loops/checkpointer.h>
#include <levin/framework/loops/fit_state.h>
#include <levin/framework/loops/loss_watch.h>
#include <levin/framework/loops/solver_fit.h>
#include <levin/framework/loops/step_rows.h>
#include <levin/framework/loops/stopping.h>
#include <levin/framework/loops/thread_choice.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/loops/validation.h>
#include <levin/framework/optimizers/schedules.h>

namespace levin {

/// Trains for epochs of batches, with validation in between. Lightning: _FitLoop,
/// _TrainingEpochLoop.
///
///     FitLoop loop(parts, data.train_dataloader(), data.val_dataloader(), optimizers);
///     if (checkpoint) loop.resume(*checkpoint);
///     loop.run();                                       // run.history() then says why it ended
///
/// This class decides only in which order things happen. Each thing that happens has a class of its
/// own: TrainingStep trains on a batch, CapturedStep does so by a CUDA graph, Validation validates,
/// Stopping decides when training ends, Checkpointer and FitState save and load, and ThreadChoice
/// finds the number of threads.
///
/// A step boundary is the moment after an optimizer step, its hooks, its row of the loggers and the
/// validation that is due after it. Requests of callbacks are acted on there, and checkpoints are
/// taken only there and at the end of an epoch, which is a boundary too. A validation that comes
/// due while gradients are accumulated waits for the boundary, so that a checkpoint that is saved
/// because of its metrics has the weights that were validated.
///
/// With several ranks, every rank has its own FitLoop and makes the same calls in the same order.
/// All calls come from the thread that runs the Trainer.
class FitLoop {
 public:
  /// Opens the training data and puts the limits into the run's progress; nothing is trained yet.
  /// `optimizers` and everything in `parts` must outlive the loop. Throws ConfigError for options
  /// that don't fit the data, DataError if the training loader has no full batch, and ModuleError
  /// if there is more than one optimizer and the module doesn't step them by hand.
  FitLoop(LoopParts parts, const DataLoaders& train, DataLoaders val, Optimizers& optimizers);
  FitLoop(const FitLoop&) = delete;
  FitLoop& operator=(const FitLoop&) = delete;

  /// Makes `run` go on where `checkpoint` was taken; to be called before it. Throws CheckpointError
  /// if the checkpoint belongs to another model, optimizer or data; the module then keeps the
  /// weights that it had before.
  void resume(const StateDict& checkpoint) { state_.resume(checkpoint); }
  /// The training and the validation loaders of an epoch.
  using Reload = std::function<std::pair<DataLoaders, DataLoaders>(int64_t epoch)>;
  /// Lets the loop ask `reload` for loaders as reload_dataloaders_every_n_epochs says; to be called
  /// before `run`. `epoch` is the one for which the loop's loaders were made. Throws ConfigError if
  /// the optimizer is a solver, which reads the same rows in each iteration.
  void set_reload(Reload reload, int64_t epoch);
  /// Trains until a limit, a request or a signal ends it; `stop_reason` of the run's history says
  /// which. While it runs, the first SIGINT, SIGTERM or SIGHUP makes training end at a following
  /// boundary, at which Checkpointer::save_interrupted saves the state. What hooks, steps and
  /// loaders throw passes through. A collective, like all of its parts: ranks that have fewer rows
  /// than others take part in each step.
  void run();

  /// Writes a checkpoint of the state as it is now. A collective: once it returns on any rank, all
  /// parts of the checkpoint are on disk.
  void save_checkpoint(const std::filesystem::path& path) {
    step_rows_.write_all();
    checkpointer_.save_now(path);
  }
  /// Writes what can be saved after `error` has ended `run`: see
  /// Checkpointer::save_after_exception. Each rank may call it alone.
  void save_after_exception(const std::exception& error) {
    try {
      step_rows_.write_all();
    } catch (...) {  // the device is of no use any more
    }
    checkpointer_.save_after_exception(error, at_boundary_);
  }
  /// The setting that was found for the fit or taken over from a checkpoint; its number of threads
  /// is 0 if there is none, because the options give one.
  ThreadSetting threads() const { return threads_.setting(); }

 private:
  void reload_loaders();
  void run_epoch();
  void run_batches();
  bool train_next(Batch& batch);
  bool next_batch(Batch& batch);
  bool at_end();
  bool iterate_solver();
  void train_batch(Batch& batch);
  void train_captured(int64_t steps);
  void run_captured(const Batch& batch, bool is_last);
  int64_t quiet_steps() const;
  bool begin_batch(const Batch& batch);
  void count_batch();
  void end_batch(const Batch& batch, bool is_last);
  void keep_data_on_device();
  void note_first_batch(const Batch& batch);
  void log_step();
  void log_sent_bytes();
  void warn_about_the_fit(int64_t steps_before);
  void validate();
  void cut_epoch_short(bool has_validated);
  void end_epoch();
  void act_on_requests(bool in_step);
  void act_on(const Requests& requests);
  void accumulate(int64_t batches);

  LoopParts parts_;
  Schedules schedules_;
  LoggedValues metrics_;  // of the training epoch
  /// Null unless the optimizer is a solver. An epoch then has one step, which reads all rows.
  std::unique_ptr<SolverFit> solver_fit_;
  std::optional<int64_t> num_batches_;
  TrainingData data_;
  Reload reload_;
  int64_t loaded_epoch_ = 0;  // for which the loaders were made
  Validation validation_;
  TrainingStep training_step_;
  StepControl step_;
  CapturedStep captured_step_;
  Stopping stopping_;
  LossWatch loss_watch_;
  StepRows step_rows_;
  ThreadChoice threads_;
  FitState state_;
  Checkpointer checkpointer_;
  /// That of the last batch; undefined if training_step skipped it.
  torch::Tensor loss_;
  /// Whether it is known where the training data stay.
  bool has_placed_data_ = false;
  /// Whether `run` has read a batch.
  bool has_read_ = false;
  /// Whether every batch of the epoch was seen.
  bool epoch_complete_ = false;
  /// Whether the last batch ended with an optimizer step.
  bool stepped_ = false;
  int64_t epoch_sent_ = 0;   // Strategy::sent_bytes when the epoch began, or went on
  int64_t epoch_steps_ = 0;  // the steps before that
  /// Whether the state is one that a resumed run can go on from.
  bool at_boundary_ = false;
  /// Whether a validation waits for the boundary.
  bool validation_due_ = false;
};

}  // namespace levin
