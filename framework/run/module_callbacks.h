#pragma once

#include <concepts>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>

namespace levin {

/// The callbacks that a module brings along (Module::configure_callbacks), each with the hooks
/// inside a step that it overrides. They are added as to a Trainer:
///
///     levin::ModuleCallbacks configure_callbacks() override {
///       levin::ModuleCallbacks callbacks;
///       callbacks.add<levin::EarlyStopping>({.monitor = "val_loss"});
///       return callbacks;
///     }
class ModuleCallbacks {
 public:
  /// A callback, and the hooks inside a step that shall be called.
  struct Entry {
    std::unique_ptr<Callback> callback;
    HookSet used;
  };

  /// Makes a callback of class C from its options, adds it and returns it. The list owns it.
  template <class C>
  requires MadeFromOptions<C> C& add(typename C::Options options = {}) {
    return static_cast<C&>(add(std::make_unique<C>(std::move(options)), overridden_hooks<C>()));
  }
  /// The same for a callback that isn't made from Options: makes it from `arguments`, usually none.
  template <class C, class... Arguments>
  requires(!MadeFromOptions<C> &&
           std::constructible_from<C, Arguments...>) C& add(Arguments&&... arguments) {
    return static_cast<C&>(
        add(std::make_unique<C>(std::forward<Arguments>(arguments)...), overridden_hooks<C>()));
  }
  /// Adds a callback that was made elsewhere: see Trainer::add.
  Callback& add(std::unique_ptr<Callback> callback, HookSet used = HookSet::all()) {
    used = callback->used_hooks(used);
    return *entries_.emplace_back(Entry{std::move(callback), used}).callback;
  }

  /// The callbacks in the order in which they were added.
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace levin
