#include <levin/callbacks/lambda_callback.h>

namespace levin {

HookSet LambdaCallback::used_hooks(HookSet overridden) const {
  const auto keep = [&](BatchHook hook, const auto& function) {
    if (!function) overridden.remove(hook);
  };
  keep(BatchHook::train_batch_start, on_.on_train_batch_start);
  keep(BatchHook::train_batch_end, on_.on_train_batch_end);
  keep(BatchHook::before_zero_grad, on_.on_before_zero_grad);
  keep(BatchHook::before_backward, on_.on_before_backward);
  keep(BatchHook::after_backward, on_.on_after_backward);
  keep(BatchHook::before_optimizer_step, on_.on_before_optimizer_step);
  keep(BatchHook::validation_batch_start, on_.on_validation_batch_start);
  keep(BatchHook::validation_batch_end, on_.on_validation_batch_end);
  keep(BatchHook::test_batch_start, on_.on_test_batch_start);
  keep(BatchHook::test_batch_end, on_.on_test_batch_end);
  keep(BatchHook::predict_batch_start, on_.on_predict_batch_start);
  keep(BatchHook::predict_batch_end, on_.on_predict_batch_end);
  return overridden;
}

}  // namespace levin
