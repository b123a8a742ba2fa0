#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/training_step.h>

namespace levin {

/// What `threads = "auto"` does in a fit: whole training steps (forward, backward and the
/// optimizer) are timed before the first one, the number of threads found is kept in checkpoints,
/// and steps are watched afterwards if the machine may become too busy for the setting. How a
/// setting is found is the part of AutoThreads (framework/threads/threads.h); this class provides
/// the steps.
class ThreadChoice {
 public:
  /// `num_batches`: batches of an epoch, if known.
  ThreadChoice(LoopParts parts, Optimizers& optimizers, DataLoaders train,
               std::optional<int64_t> num_batches);

  /// Finds the number of threads and puts it into force, if the options say "auto"; prints what was
  /// measured to stderr. Nothing is timed, and LibTorch's own number is taken, in deterministic
  /// mode, on a GPU, with several processes (each has its share of the cores already,
  /// OMP_NUM_THREADS), without an optimizer, and with an optimizer that calls its closure again
  /// (LBFGS).
  ///
  /// The steps train on the first batches, read by a reader of their own. No hook of a step is
  /// called and nothing is logged. Afterwards the module's state_dict and gradients, the
  /// optimizer's state, all random generators and the requests to the run are put back bit for bit,
  /// after an error too. Whatever else a module changes in training_step stays changed.
  void choose();
  /// Takes over the number of threads of the run that a checkpoint is of; `choose` then tries none.
  void take(int threads) { threads_.take(threads); }
  /// The setting in force because of "auto", or taken over; 0 threads if there is none.
  ThreadSetting setting() const { return threads_.setting(); }

  /// Runs a training step and returns its result; measures how long it takes, if need be.
  template <class Step>
  auto watch(Step&& step) {
    return threads_.watch(std::forward<Step>(step));
  }

 private:
  bool can_try() const;
  void try_threads();
  double steps_left() const;
  std::vector<Batch> first_batches(const LoopParts& quiet) const;

  LoopParts parts_;
  Optimizers& optimizers_;
  DataLoaders train_;
  std::optional<int64_t> num_batches_;
  AutoThreads threads_;
};

}  // namespace levin
