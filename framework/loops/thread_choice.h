#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/training_step.h>

namespace levin {

/// Chooses the threads of a fit on the CPU for which the options give no number. The number chosen
/// is kept in checkpoints.
///
/// If the option is empty, the number follows from the work of the first training step
/// (DefaultThreads in framework/threads/threads.h).
///
/// If it is "auto", whole training steps (forward, backward and the optimizer) are timed with
/// different numbers of threads before the first step. AutoThreads (threads.h, too) decides which
/// setting is best; this class provides it with the steps to time. Later steps are watched, in case
/// other programs come to need the machine's cores.
///
///     ThreadChoice threads(parts, optimizers, train, num_batches);
///     threads.choose();
///     while (...) threads.watch([&] { return train_on_a_batch(); });
class ThreadChoice {
 public:
  /// Keeps the references; `parts.threads` must not be null. `num_batches` is the number of batches
  /// of an epoch, if that is known.
  ThreadChoice(LoopParts parts, Optimizers& optimizers, DataLoaders train,
               std::optional<int64_t> num_batches);

  /// If the options say "auto", finds the number of threads, puts it into force, and prints what
  /// was measured to stderr. LibTorch's own number is taken without any timing in deterministic
  /// mode, on a GPU, with several processes (OMP_NUM_THREADS gives each its share of the cores),
  /// without an optimizer, and with an optimizer that evaluates its closure again (LBFGS).
  ///
  /// The timed steps train on the first batches, which a separate reader reads. No hook of a step
  /// is called and nothing is logged. Afterwards the module's state_dict and gradients, the
  /// optimizer's state, all random generators and the requests to the run are put back bit for bit,
  /// also if a step throws. Whatever else a module changes in training_step stays changed.
  ///
  /// If the options are empty, puts all of LibTorch's threads into force until `watch` has seen a
  /// step; on a GPU, LibTorch's own number stays in force for good.
  void choose();
  /// Takes over the number of threads from the run that wrote a checkpoint, unless the options give
  /// one; `choose` then times nothing, and `watch` counts nothing.
  void take(int threads);
  /// The number of threads that was chosen or taken over; 0 if there is none.
  int threads() const;
  /// The setting in force, if it was chosen or taken over; otherwise its number of threads is 0.
  ThreadSetting setting() const;

  /// Runs a training step and returns its result. Also counts the first step's work, or measures
  /// the step's time as long as AutoThreads watches for other programs.
  template <class Step>
  auto watch(Step&& step) {
    return threads_.watch([&] { return default_.run(step); });
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
  int taken_ = 0;
  AutoThreads threads_;     // for "auto"
  DefaultThreads default_;  // if the option is empty
};

}  // namespace levin
