#include <levin/framework/run/hook_set.h>

#include <gtest/gtest.h>

#include <levin/framework/run/callback.h>
#include <levin/framework/run/module.h>

namespace levin::hook_set_test {

/// The names of the hooks in a set, in order.
constexpr int kHooks = static_cast<int>(BatchHook::count);
constexpr uint32_t bits(HookSet set) {
  uint32_t result = 0;
  for (int i = 0; i < kHooks; ++i) {
    result |= set.has(static_cast<BatchHook>(i)) ? uint32_t{1} << i : 0U;
  }
  return result;
}
template <class... Hook>
constexpr uint32_t only(Hook... hook) {
  return ((uint32_t{1} << static_cast<uint32_t>(hook)) | ... | 0U);
}

class Nothing : public Callback {
 public:
  std::string state_key() const override { return "Nothing"; }
  void on_train_epoch_end(Run&) override {}  // not inside a step
};
static_assert(bits(overridden_hooks<Nothing>()) == 0);

class TrainEnd : public Nothing {
 public:
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {}
};
static_assert(bits(overridden_hooks<TrainEnd>()) == only(BatchHook::train_batch_end));

// What a base class overrides counts for those derived from it.
class Inherits : public TrainEnd {};
static_assert(bits(overridden_hooks<Inherits>()) == only(BatchHook::train_batch_end));
class InheritsAndAdds : public TrainEnd {
 public:
  void on_before_backward(const torch::Tensor&, Step&) override {}
};
static_assert(bits(overridden_hooks<InheritsAndAdds>()) ==
              only(BatchHook::train_batch_end, BatchHook::before_backward));

// Virtual functions are called whatever their access.
class Private : public Nothing {
  void on_validation_batch_start(const Batch&, Step&) override {}

 protected:
  void on_test_batch_end(const Batch&, Step&) override {}
};
static_assert(bits(overridden_hooks<Private>()) ==
              only(BatchHook::validation_batch_start, BatchHook::test_batch_end));

// An overload beside it hides the name; the override must still be seen.
class Overloads : public Nothing {
 public:
  void on_after_backward(Step&) override {}
  void on_after_backward(int) {}
};
static_assert(bits(overridden_hooks<Overloads>()) == only(BatchHook::after_backward));

class Everything : public Callback {
 public:
  std::string state_key() const override { return "Everything"; }
  void on_train_batch_start(const Batch&, Step&) override {}
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {}
  void on_before_zero_grad(Optimizer&, Step&) override {}
  void on_before_backward(const torch::Tensor&, Step&) override {}
  void on_after_backward(Step&) override {}
  void on_before_optimizer_step(Optimizer&, Step&) override {}
  void on_validation_batch_start(const Batch&, Step&) override {}
  void on_validation_batch_end(const Batch&, Step&) override {}
  void on_test_batch_start(const Batch&, Step&) override {}
  void on_test_batch_end(const Batch&, Step&) override {}
  void on_predict_batch_start(const Batch&, Step&) override {}
  void on_predict_batch_end(const NamedTensors&, const Batch&, Step&) override {}
};
static_assert(bits(overridden_hooks<Everything>()) == (uint32_t{1} << kHooks) - 1);
static_assert(bits(HookSet::all()) == (uint32_t{1} << kHooks) - 1);
static_assert(bits(HookSet()) == 0);

// A Module is Hooks too, among other things. It has two hooks itself, to note that a class of the
// user's doesn't.
static_assert(bits(overridden_hooks<Module>()) ==
              (only(BatchHook::train_batch_start) | only(BatchHook::train_batch_end)));

TEST(HookSetBits, are_put_one_by_one) {
  for (int i = 0; i < kHooks; ++i) {
    HookSet set;
    set.add(static_cast<BatchHook>(i), true);
    EXPECT_EQ(bits(set), uint32_t{1} << i);
    set.add(static_cast<BatchHook>(i), false);  // adds nothing, takes nothing away
    EXPECT_EQ(bits(set), uint32_t{1} << i);
  }
}

// The checks proper are the static_asserts above; this shows them in a test run.
TEST(HookSetOverrides, are_found_when_compiling) {
  EXPECT_EQ(bits(overridden_hooks<Nothing>()), 0U);
  EXPECT_EQ(bits(overridden_hooks<Inherits>()), only(BatchHook::train_batch_end));
  EXPECT_EQ(bits(overridden_hooks<Everything>()), (uint32_t{1} << kHooks) - 1);
}

}  // namespace levin::hook_set_test
