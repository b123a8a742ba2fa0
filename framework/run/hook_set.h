#pragma once

#include <concepts>
#include <cstdint>

#include <levin/framework/run/hooks.h>

namespace levin {

/// The hooks that fire for every batch, each named like its function in Hooks without "on_". The
/// loops call such a hook only of those callbacks whose HookSet contains it, and of the module, so
/// that callbacks that don't override it cost nothing in a step.
enum class BatchHook : uint32_t {
  /// Around the training of a batch.
  train_batch_start,
  train_batch_end,
  /// Before the gradients are dropped, in the first batch of a window.
  before_zero_grad,
  /// Around the backward pass of a batch.
  before_backward,
  after_backward,
  /// Before clipping and the optimizer's step, in the last batch of a window.
  before_optimizer_step,
  /// Around a batch of a validation, also of the one before training (sanity check).
  validation_batch_start,
  validation_batch_end,
  /// Around a batch of a test.
  test_batch_start,
  test_batch_end,
  /// Around a batch of a prediction.
  predict_batch_start,
  predict_batch_end,
  /// The number of batch hooks; not a hook itself.
  count
};

/// A set of batch hooks, one bit each. It says which of them a callback overrides.
///
/// `Trainer::add<C>` finds the set of class C by itself. A callback that is added as a pointer to
/// its base class counts as one that overrides all hooks, unless the caller gives a set:
///
///     std::unique_ptr<Callback> callback = make_callback();
///     trainer.add(std::move(callback), HookSet().add(BatchHook::train_batch_end, true));
///
/// Sets exist to save time. A hook too many costs an empty call in each step, but a hook that the
/// callback overrides and that isn't in its set is never called.
class HookSet {
 public:
  /// The set of all batch hooks: safe for any callback.
  static constexpr HookSet all() { return HookSet(~uint32_t{0}); }
  /// The empty set: none of the batch hooks is called.
  constexpr HookSet() = default;
  /// Whether `hook` is in the set.
  constexpr bool has(BatchHook hook) const { return (bits_ & bit(hook)) != 0; }
  /// Adds `hook` if `used`, and returns this set, so that calls can be chained.
  constexpr HookSet& add(BatchHook hook, bool used) {
    if (used) bits_ |= bit(hook);
    return *this;
  }
  /// Takes `hook` out of the set, and returns this set.
  constexpr HookSet& remove(BatchHook hook) {
    bits_ &= ~bit(hook);
    return *this;
  }

 private:
  explicit constexpr HookSet(uint32_t bits) : bits_(bits) {}
  /// The bit of `hook`: its number is the place.
  static constexpr uint32_t bit(BatchHook hook) {
    return uint32_t{1} << static_cast<uint32_t>(hook);
  }
  uint32_t bits_ = 0;
};

// Whether class C overrides `hook`. The type of &C::hook contains the class that declares the hook,
// which is Hooks itself if no class overrides it. If an override is private, &C::hook isn't
// accessible from here; the macro then says that there is one.
#define LEVIN_OVERRIDES(hook) \
  (!requires { requires std::same_as<decltype(&C::hook), decltype(&Hooks::hook)>; })

/// Returns the batch hooks that class C or one of its bases overrides. The compiler finds them out,
/// so this costs nothing at run time. C must derive from Hooks. Only the static type counts: if C
/// is a base class of the object, hooks that the object's own class overrides are missing.
///
///     static_assert(overridden_hooks<ProgressBar>().has(BatchHook::train_batch_end));
///     static_assert(!overridden_hooks<ProgressBar>().has(BatchHook::before_backward));
///
/// A private override counts as one. A function of C that has the name of a hook but other
/// parameters may count as an override, too; the hook is then called without effect.
template <class C>
constexpr HookSet overridden_hooks() {
  HookSet set;
  set.add(BatchHook::train_batch_start, LEVIN_OVERRIDES(on_train_batch_start))
      .add(BatchHook::train_batch_end, LEVIN_OVERRIDES(on_train_batch_end))
      .add(BatchHook::before_zero_grad, LEVIN_OVERRIDES(on_before_zero_grad))
      .add(BatchHook::before_backward, LEVIN_OVERRIDES(on_before_backward))
      .add(BatchHook::after_backward, LEVIN_OVERRIDES(on_after_backward))
      .add(BatchHook::before_optimizer_step, LEVIN_OVERRIDES(on_before_optimizer_step))
      .add(BatchHook::validation_batch_start, LEVIN_OVERRIDES(on_validation_batch_start))
      .add(BatchHook::validation_batch_end, LEVIN_OVERRIDES(on_validation_batch_end))
      .add(BatchHook::test_batch_start, LEVIN_OVERRIDES(on_test_batch_start))
      .add(BatchHook::test_batch_end, LEVIN_OVERRIDES(on_test_batch_end))
      .add(BatchHook::predict_batch_start, LEVIN_OVERRIDES(on_predict_batch_start))
      .add(BatchHook::predict_batch_end, LEVIN_OVERRIDES(on_predict_batch_end));
  return set;
}
#undef LEVIN_OVERRIDES

}  // namespace levin
