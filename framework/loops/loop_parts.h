#pragma once

#include <vector>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/threads/threads.h>

namespace levin {

/// References to everything a loop works with. The Trainer owns it, and all of it outlives the
/// loop.
struct LoopParts {
  Module& module;
  DataModule& data;
  Strategy& strategy;
  const HookList& hooks;
  const std::vector<Callback*>& callbacks;
  const std::vector<Logger*>& loggers;  // none on ranks other than 0
  const TrainerOptions& options;
  RunControl& run;
  Profiler* profiler = nullptr;    // null: nothing is measured
  ThreadScope* threads = nullptr;  // needed by FitLoop only, which sets it for `threads = "auto"`
};

/// Reads the next batch of `reader` into `batch`; returns false at the end of the epoch.
bool next_batch(const LoopParts& parts, Reader& reader, Batch& batch);

/// Moves `batch` to the strategy's device, and calls the transfer hooks of the data module and of
/// the module before and after that.
void transfer(const LoopParts& parts, Batch& batch);

}  // namespace levin
