#pragma once

#include <vector>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/threads/thread_policy.h>

namespace levin {

/// What a loop works with; all of it outlives the loop.
struct LoopParts {
  Module& module;
  DataModule& data;
  Strategy& strategy;
  const HookList& hooks;
  const std::vector<Callback*>& callbacks;
  const std::vector<Logger*>& loggers;
  const TrainerOptions& options;
  RunControl& run;
  Profiler* profiler = nullptr;    // null: nothing is measured
  ThreadScope* threads = nullptr;  // for fit: what `threads = "auto"` sets
};

/// Hands a row of step values to every logger; nothing where there is nothing to log.
void log_step_values(const LoopParts& parts, const MetricMap& metrics, int64_t step);
/// The same for the values of a whole epoch, at the last step done.
void log_epoch_values(const LoopParts& parts, const MetricMap& metrics);

/// The reader's next batch; false at the end of the epoch.
bool next_batch(const LoopParts& parts, Reader& reader, Batch& batch);

/// Takes a batch to the device with the hooks around it.
void transfer(const LoopParts& parts, Batch& batch);

/// Adds "at epoch 3, step 120, rank 0" to one of LibTorch's own errors in flight and rethrows it.
[[noreturn]] void rethrow_with_place(const Run& run);

}  // namespace levin
