#pragma once

#include <optional>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/resumed_settings.h>
#include <levin/framework/loops/stopping.h>
#include <levin/framework/loops/thread_choice.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/loops/validation.h>

namespace levin {

class SolverFit;

/// Knows what a checkpoint of a fit holds, and puts it back so that the fit goes on with the same
/// bits. The Checkpointer writes the files.
///
/// A checkpoint has these children; one with weights only has just the first two:
///
///     model             parameters and buffers
///     fitted            what the data module has learned from its data, if anything
///     optimizer.<i>     the optimizers
///     gradients         those of rank 0 that wait for a later batch, if the module optimizes by
///                       hand
///     schedulers        learning-rate schedules
///     loop              progress, the metrics shown, those of the epoch begun, the history, the
///                       learning rates that were configured
///     strategy          what rank 0 remembers of gradients (Strategy::own_state), if anything
///     scaler            the scale of losses and its counts, with precision = 16-mixed
///     callbacks.<key>   callbacks, by Callback::state_key; "#1" is added to a key used twice
///     loggers.<key>     loggers, by Logger::state_key, in the same way
///     data              the data module
///     random            the random generators of rank 0
///     ranks             the number of ranks, how many have different rows, and the rows of their
///                       steps; ranks.<r>, for the ranks from 1 on: their number in their model,
///                       their random generators, metrics of the epoch begun, optimizer.<i>, the
///                       solvers' own states (or, if ranks take steps by themselves, their
///                       optimizers' ones), gradients and strategy
///
/// Its values are levin_version, checkpoint_format, epoch, global_step, precision, hyper_parameters
/// (of the data, and the seed), and module, which describes the model that the weights belong to
/// (module_description.h). The order of an epoch's rows follows from the seed and the epoch, so the
/// place in the data needs only the two numbers in `loop`.
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
    const SolverFit* solver_fit = nullptr;  // null: the optimizer is no solver
  };
  /// Keeps the references; all of them must outlive this object. The optimizers have the learning
  /// rates that they were made with.
  FitState(LoopParts parts, Members members)
      : parts_(parts), members_(members), configured_rates_(members.optimizers) {}

  /// Returns the state as it is now or, after `freeze`, as it was at the last call of `freeze`;
  /// then on_save_checkpoint is called, which may change it. The tensors may share memory with the
  /// model. A collective, because each rank adds its own part, unless `leave_out_other_ranks` was
  /// called.
  StateDict checkpoint(bool weights_only);
  /// Makes later checkpoints hold the state as it is now. To be called at a boundary after which
  /// something happens that wouldn't happen there in a resumed run. Checkpoints with weights only
  /// aren't affected. A collective, like `checkpoint`.
  void freeze() { frozen_ = state(/*weights_only=*/false); }
  /// Leaves the other ranks out of later checkpoints, which are then no collectives. After a
  /// failure the other ranks may be gone.
  void leave_out_other_ranks() { alone_ = true; }
  /// Whether this rank alone doesn't have all of the optimizers' state.
  bool is_divided() const;

  /// Remembers the shape and type of the batch's input, which later checkpoints tell as what their
  /// module takes. A batch without rows is ignored.
  void note_input(const Batch& batch);
  bool knows_input() const { return input_.has_value(); }

  /// Calls on_load_checkpoint and then puts a checkpoint's state back. Settings of this run that
  /// differ from the checkpoint's count, and a warning says so (resumed_settings.h). Throws
  /// CheckpointError if the checkpoint belongs to another model, optimizer or data; the module then
  /// keeps the weights that it had before.
  void resume(const StateDict& whole);
  bool is_resumed() const { return resumed_; }
  /// Puts the random generators back as they were in the checkpoint that was resumed from; does
  /// nothing if there was none. To be called after everything else that may draw random numbers
  /// before training.
  void restore_random();
  /// Makes later checkpoints hold the random generators that this rank has now. To be called at the
  /// end of training, after which all ranks draw rank 0's random numbers again.
  void keep_random();

 private:
  StateDict state(bool weights_only);
  StateDict loop_state();
  StateDict rank_states();
  void load_state(const StateDict& checkpoint);
  std::vector<std::string> load_optimizers(const StateDict& checkpoint);
  void load_loop_state(const StateDict& state);
  void warn_about_changes(const StateDict& checkpoint,
                          const std::vector<std::string>& changed_rates,
                          const std::vector<std::string>& left_out);
  void load_rank_state(const StateDict& checkpoint);
  void load_own_states(const StateDict& states);

  LoopParts parts_;
  Members members_;
  ConfiguredRates configured_rates_;
  std::optional<InputDescription> input_;
  std::optional<StateDict> frozen_;
  StateDict random_to_restore_;
  std::optional<StateDict> random_at_end_;  // of this rank
  bool resumed_ = false;
  bool alone_ = false;
};

}  // namespace levin
