#pragma once

#include <array>
#include <utility>
#include <vector>

#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>

namespace levin {

/// The callbacks and the module of a run, whose hooks the loops call. The order is the same for
/// every hook: ordinary callbacks in the order they were added, the module, callbacks that watch
/// metrics, and callbacks that save (Callback::Order).
///
///     HookList hooks({{&printer, HookSet::all()}, {&stopping, overridden_hooks<EarlyStopping>()}},
///                    module);
///     hooks.call(&Hooks::on_train_start, run);
///     hooks.call_batch(BatchHook::train_batch_start, &Hooks::on_train_batch_start, batch, step);
///
/// Hooks run on the calling thread. If one of them throws, the hooks after it aren't called and the
/// exception passes through. No call allocates memory, except `everybody`.
class HookList {
 public:
  /// A callback, and the hooks inside a step that it overrides.
  using Entry = std::pair<Callback*, HookSet>;
  /// An empty list, which calls nothing.
  HookList() = default;
  /// Keeps pointers to the callbacks, the module and the profiler, which must outlive the list. The
  /// profiler measures the time of every call; null if nobody measures.
  HookList(const std::vector<Entry>& callbacks, Module& module, Profiler* profiler = nullptr);

  /// Calls a hook of all callbacks and of the module, with the given arguments. It may be any hook
  /// of Hooks; for those in BatchHook, `call_batch` is faster, because it leaves out callbacks that
  /// don't override the hook.
  template <class... Parameters, class... Arguments>
  void call(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// Returns all callbacks and the module in the order in which they are called. For hooks after an
  /// error: the caller can then go on with the next one if one of them throws.
  std::vector<Hooks*> everybody() const {
    std::vector<Hooks*> all = before_;
    all.insert(all.end(), monitors_.begin(), monitors_.end());
    return all;
  }
  /// Calls a hook of the ordinary callbacks and of the module only. The loop uses it at the end of
  /// an epoch: these may still log values, and once all of them were called the epoch's metrics are
  /// complete and can be combined over ranks.
  template <class... Parameters, class... Arguments>
  void call_before_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : before_) (one->*hook)(arguments...);
  }
  /// Calls a hook of the callbacks that watch metrics, and then of those that save. The loop uses
  /// it after `call_before_monitors`, once the metrics of the epoch are combined; the two calls
  /// together do what `call` does.
  template <class... Parameters, class... Arguments>
  void call_monitors(void (Hooks::*hook)(Parameters...), Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : monitors_) (one->*hook)(arguments...);
  }
  /// Whether a callback, that is, anything but the module, has that hook.
  bool has_callback(BatchHook hook) const {
    return batch_[static_cast<size_t>(hook)].size() > 1;  // the module counts as having all
  }
  /// Calls `hook`, which fires inside a step, of the callbacks whose HookSet contains it and of the
  /// module. `which` must name the same hook. Callbacks that don't override the hook cost nothing
  /// here.
  template <class... Parameters, class... Arguments>
  void call_batch(BatchHook which, void (Hooks::*hook)(Parameters...),
                  Arguments&&... arguments) const {
    const ProfilePart profiled(profiler_, Part::callbacks);
    for (Hooks* one : batch_[static_cast<size_t>(which)]) (one->*hook)(arguments...);
  }

 private:
  Profiler* profiler_ = nullptr;
  /// Ordinary callbacks, then the module.
  std::vector<Hooks*> before_;
  /// Callbacks that watch metrics, then those that save.
  std::vector<Hooks*> monitors_;
  /// For each BatchHook, the callbacks and the module that have it, in the order of the calls.
  std::array<std::vector<Hooks*>, static_cast<size_t>(BatchHook::count)> batch_;
};

}  // namespace levin
