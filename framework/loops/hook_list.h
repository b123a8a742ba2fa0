#pragma once

#include <array>
#include <utility>
#include <vector>

#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>

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

}  // namespace levin
