#pragma once

#include <concepts>
#include <cstdint>

#include <levin/framework/run/hooks.h>

namespace levin {

/// The hooks that fire for every batch. The loops call only those that a callback or the module
/// overrides, so that the others cost nothing.
enum class BatchHook : uint32_t {
  train_batch_start,
  train_batch_end,
  before_zero_grad,
  before_backward,
  after_backward,
  before_optimizer_step,
  validation_batch_start,
  validation_batch_end,
  test_batch_start,
  test_batch_end,
  predict_batch_start,
  predict_batch_end,
  count
};

/// A set of batch hooks, one bit each.
class HookSet {
 public:
  static constexpr HookSet all() { return HookSet(~uint32_t{0}); }
  constexpr HookSet() = default;
  constexpr bool has(BatchHook hook) const { return (bits_ & bit(hook)) != 0; }
  constexpr HookSet& add(BatchHook hook, bool used) {
    if (used) bits_ |= bit(hook);
    return *this;
  }

 private:
  explicit constexpr HookSet(uint32_t bits) : bits_(bits) {}
  static constexpr uint32_t bit(BatchHook hook) {
    return uint32_t{1} << static_cast<uint32_t>(hook);
  }
  uint32_t bits_ = 0;
};

// The type of &C::hook names the class that declares the hook, which is Hooks itself if no class
// overrides it. A private override can't be named from here and therefore counts as one.
#define LEVIN_OVERRIDES(hook) \
  (!requires { requires std::same_as<decltype(&C::hook), decltype(&Hooks::hook)>; })

/// Returns the batch hooks that class C overrides, found out at compile time.
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
