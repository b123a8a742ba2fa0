#pragma once

#include <array>
#include <utility>
#include <vector>

#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>

namespace levin {

/// The callbacks and the module of a run, whose hooks the loops call in this order: ordinary
/// callbacks in the order they were added, the module, callbacks that watch metrics, callbacks that
/// save (Callback::Order).
class HookList {
 public:
  using Entry = std::pair<Callback*, HookSet>;
  /// An empty list, which calls nothing.
  HookList() = default;
  /// Keeps pointers to the callbacks, the module and the profiler (null: none), which is told of
  /// every call. The HookSet of a callback says which hooks inside a step it overrides.
  HookList(const std::vector<Entry>& callbacks, Module& module, Profiler* profiler = nullptr);

  /// Calls a hook of all of them: `hooks.call(&Hooks::on_train_start, run)`.
  template <class... Parameters, class... Arguments>
  void call(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// All of them, in order: for hooks after an error, each of which may fail by itself.
  std::vector<Hooks*> everybody() const {
    std::vector<Hooks*> all = before_;
    all.insert(all.end(), monitors_.begin(), monitors_.end());
    return all;
  }
  /// Calls a hook of the ordinary callbacks and the module only. They may still log; the metrics
  /// are complete after that.
  template <class... Parameters, class... Arguments>
  void call_before_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
  }
  /// Calls a hook of the callbacks that watch metrics, and of those that save.
  template <class... Parameters, class... Arguments>
  void call_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// Calls a hook inside a step, `which`, of those that override it.
  template <class... Parameters, class... Arguments>
  void call_batch(BatchHook which, void (Hooks::*hook)(Parameters...),
                  Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : batch_[static_cast<size_t>(which)]) (one->*hook)(arguments...);
  }

 private:
  Profiler* profiler_ = nullptr;
  std::vector<Hooks*> before_;    // ordinary callbacks, then the module
  std::vector<Hooks*> monitors_;  // callbacks that watch metrics, then those that save
  std::array<std::vector<Hooks*>, static_cast<size_t>(BatchHook::count)> batch_;
};

}  // namespace levin
