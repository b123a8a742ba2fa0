#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/callback.h>
#include <levin/framework/datamodule.h>
#include <levin/framework/hook_set.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/loops/run_control.h>
#include <levin/framework/module.h>
#include <levin/framework/profiler.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/thread_policy.h>
#include <levin/framework/trainer_options.h>

namespace levin {

/// Everybody whose hooks are called, in order: callbacks, the module, then the callbacks that watch
/// what was logged, checkpoints last. Made when a run starts.
class HookList {
 public:
  using Entry = std::pair<Callback*, HookSet>;
  /// Nobody: calls nothing.
  HookList() = default;
  /// `profiler` (null: none) is told of every call.
  HookList(const std::vector<Entry>& callbacks, Module& module, Profiler* profiler = nullptr);

  /// Calls a hook of everybody.
  template <class... Parameters, class... Arguments>
  void call(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// All of them, in order.
  std::vector<Hooks*> everybody() const {
    std::vector<Hooks*> all = before_;
    all.insert(all.end(), monitors_.begin(), monitors_.end());
    return all;
  }
  /// Calls a hook of the ordinary callbacks and the module only: before metrics are complete.
  template <class... Parameters, class... Arguments>
  void call_before_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
  }
  /// Calls a hook of the callbacks that watch metrics.
  template <class... Parameters, class... Arguments>
  void call_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// Calls a hook inside a step of those who override it.
  template <class... Parameters, class... Arguments>
  void call_batch(BatchHook which, void (Hooks::*hook)(Parameters...),
                  Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : batch_[static_cast<size_t>(which)]) (one->*hook)(arguments...);
  }

 private:
  Profiler* profiler_ = nullptr;
  std::vector<Hooks*> before_;
  std::vector<Hooks*> monitors_;
  std::array<std::vector<Hooks*>, static_cast<size_t>(BatchHook::count)> batch_;
};

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

/// Batches a loop takes of `available`, after a limit. Throws ConfigError where a fraction of an
/// unknown length is asked for, or one that leaves no batch.
std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available);

/// Whether a limit leaves the loop out.
bool is_off(const CountOrFraction& limit);

/// Adds "at epoch 3, step 120, rank 0" to one of LibTorch's own errors in flight and rethrows it.
[[noreturn]] void rethrow_with_place(const Run& run);

}  // namespace levin
