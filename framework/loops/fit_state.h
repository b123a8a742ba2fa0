#pragma once

#include <optional>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/stopping.h>
#include <levin/framework/loops/thread_choice.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/loops/validation.h>

namespace levin {

/// What a checkpoint of a fit holds, and how a fit goes on from one with the same bits. Writing
/// files is the Checkpointer's part.
///
/// Children of a checkpoint; one with weights only has just the first:
///
///     model             parameters and buffers
///     optimizer.<i>     the optimizers
///     schedulers        learning-rate schedules
///     loop              progress, the metrics shown, those of the epoch begun, the history
///     callbacks.<key>   callbacks, by Callback::state_key; "#1" follows the second one's key
///     loggers.<key>     loggers, likewise
///     data              the data module
///     random            the random generators of rank 0
///     ranks             how many there were and the rows of their steps; ranks.<r> for the ranks
///                       from 1 on: their random generators and their metrics of the epoch begun
///
/// Its values are levin_version, checkpoint_format, epoch, global_step, hyper_parameters of the
/// data with the seed, and module, which says what the weights are of (module_description.h). The
/// order of an epoch's rows follows from the seed and the epoch, so the place in the data needs
/// only the two numbers in `loop`.
class FitState {
 public:
  /// The parts of a fit that have state, besides those in LoopParts.
  struct Members {
    Optimizers& optimizers;
    Schedules& schedules;
    LoggedValues& metrics;  // of the training epoch
    TrainingData& data;
    TrainingStep& training_step;
    Validation& validation;
    Stopping& stopping;
    ThreadChoice& threads;
  };
  /// Keeps the references.
  FitState(LoopParts parts, Members members) : parts_(parts), members_(members) {}

  /// The state as it is, or as it was at the last `freeze`, after on_save_checkpoint had its say.
  /// All ranks have to call this together, because each has a part in the state.
  StateDict checkpoint(bool weights_only);
  /// Lets later checkpoints hold the state as it is now. For a boundary after which things happen
  /// that would not happen there in a run that goes on. Checkpoints with weights only aren't
  /// affected.
  void freeze() { frozen_ = state(/*weights_only=*/false); }
  /// Leaves the other ranks out of later checkpoints: after a failure they may be gone.
  void leave_out_other_ranks() { alone_ = true; }

  /// Keeps the shape and type of the batch's input for later checkpoints, which say what their
  /// module takes.
  void note_input(const Batch& batch);
  bool knows_input() const { return input_.has_value(); }

  /// Puts a checkpoint's state back, after on_load_checkpoint. Throws CheckpointError if it is of
  /// another model, optimizer or data, and leaves the module as it was then.
  void resume(const StateDict& checkpoint);
  bool is_resumed() const { return resumed_; }
  /// Puts the random generators back as they were in the checkpoint resumed from; does nothing if
  /// there was none. Comes after everything else that may draw random numbers.
  void restore_random();
  /// Lets later checkpoints hold this rank's random generators as they are now: after training, all
  /// ranks draw rank 0's random numbers again.
  void keep_random();

 private:
  StateDict state(bool weights_only);
  StateDict loop_state();
  StateDict rank_states();
  void load_state(const StateDict& checkpoint);
  void load_loop_state(const StateDict& state);
  void load_rank_state(const StateDict& checkpoint);

  LoopParts parts_;
  Members members_;
  std::optional<InputDescription> input_;
  std::optional<StateDict> frozen_;
  StateDict random_to_restore_;
  std::optional<StateDict> random_at_end_;  // of this rank
  bool resumed_ = false;
  bool alone_ = false;
};

}  // namespace levin
