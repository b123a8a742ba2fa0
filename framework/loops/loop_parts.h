#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/threads/threads.h>

namespace levin {

/// References to everything that a loop works with. The Trainer fills it in for each run, and all
/// that it refers to outlives the loop. Copies of the struct refer to the same objects.
struct LoopParts {
  /// The module and the data that the run was started with.
  Module& module;
  DataModule& data;
  /// The device of this process, and the other ranks.
  Strategy& strategy;
  /// The hooks of the callbacks and of the module, in the order of their calls.
  const HookList& hooks;
  /// The callbacks in the order they were added; for their states in checkpoints.
  const std::vector<Callback*>& callbacks;
  /// The loggers that get metrics; none on ranks other than 0, and none with fast_dev_run.
  const std::vector<Logger*>& loggers;
  /// The options, with fast_dev_run and overfit_batches worked into the others.
  const TrainerOptions& options;
  /// Progress, metrics and requests of the run, which the loops keep up to date.
  RunControl& run;
  /// Measures where the time goes; null if nothing is measured.
  Profiler* profiler = nullptr;
  /// The threads of the run. FitLoop needs it, whatever the option `threads` says; other loops
  /// don't, and it may be null for them.
  ThreadScope* threads = nullptr;
  /// Chooses the threads of an evaluation or prediction by itself from its first batch; null if
  /// they are given. Within a fit they are those of the training.
  DefaultThreads* default_threads = nullptr;
  /// The types of numbers that the run computes in.
  Precision precision{};

  /// Returns the scope in which steps of the module are called: that of LibTorch's autocast if the
  /// precision is mixed.
  AutocastScope autocast() const {
    return precision.is_mixed() ? AutocastScope(precision.compute_type(), strategy.device().type())
                                : AutocastScope();
  }
  /// Runs `step`, the work of the module for a batch of an evaluation, and returns its result.
  template <class Step>
  auto run_step(Step&& step) const {
    const AutocastScope scope = autocast();
    return default_threads != nullptr ? default_threads->run(step) : step();
  }
};

/// The number of training batches of an epoch under `limit_train_batches`; nothing if it isn't
/// known. Throws DataError if the loaders have no full batch.
std::optional<int64_t> num_training_batches(const LoopParts& parts, const DataLoaders& train);

/// Puts what is known of the fit's length into the run's progress, and tells it to the module
/// (Module::estimated_stepping_batches), before optimizers are made.
void set_expected_length(const LoopParts& parts, const DataLoaders& train);

/// Reads the next batch of `reader` into `batch`, whose memory is used again if possible, and
/// measures the time as that of the data. Returns false at the end of the epoch. Waits if the
/// reader's threads haven't made the batch yet.
bool next_batch(const LoopParts& parts, Reader& reader, Batch& batch);

/// Converts `batch` to the types of the run's precision and moves it to the strategy's device.
/// Between the two it calls on_before_batch_transfer of the data module and of the module, in this
/// order; at the end on_after_batch_transfer of both. With pinned memory the copy to a GPU may
/// still be under way when this returns. Returns whether a tensor was converted.
bool transfer(const LoopParts& parts, Batch& batch);

/// Whether `transfer` only moves batches, because neither the data module nor the module changes
/// them. Known once a batch was transferred.
bool leaves_batches(const LoopParts& parts);

/// Whether a hook of a callback or of the module gets each training batch. Known once such a batch
/// was trained on.
bool hooks_see_batches(const LoopParts& parts);

/// The bytes of a data set that the strategy's device may hold, as the option data_on_device says:
/// no value if it shall hold none. Known once a batch was transferred.
std::optional<size_t> room_for_data(const LoopParts& parts);

/// Lets `reader` make its later batches on the strategy's device, if that is wanted, its data can
/// live there and nothing changes batches before they are moved. With data_on_device = auto, data
/// that aren't there yet must also have no more bytes than the batches of a pass, which are moved
/// otherwise. `first` is a batch that was transferred, and a pass reads at most `limit` of them.
void keep_on_device(const LoopParts& parts, Reader& reader, const Batch& first,
                    std::optional<int64_t> limit);

}  // namespace levin
