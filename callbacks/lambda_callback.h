#pragma once

#include <functional>
#include <utility>

#include <levin/framework/run/callback.h>

namespace levin {

/// The functions of a LambdaCallback, named like the hooks in Hooks and in the order in which these
/// are called; those that are empty are left out.
struct LambdaCallbackOptions {
  std::function<void(Stage, Run&)> setup{};
  std::function<void(Run&)> on_fit_start{};
  std::function<void(Run&)> on_sanity_check_start{};
  std::function<void(Run&)> on_sanity_check_end{};
  std::function<void(Run&)> on_train_start{};
  std::function<void(Run&)> on_train_epoch_start{};
  std::function<void(const Batch&, Step&)> on_train_batch_start{};
  std::function<void(Optimizer&, Step&)> on_before_zero_grad{};
  std::function<void(const torch::Tensor&, Step&)> on_before_backward{};
  std::function<void(Step&)> on_after_backward{};
  std::function<void(Optimizer&, Step&)> on_before_optimizer_step{};
  std::function<void(const torch::Tensor&, const Batch&, Step&)> on_train_batch_end{};
  std::function<void(Run&)> on_validation_start{};
  std::function<void(Run&)> on_validation_epoch_start{};
  std::function<void(const Batch&, Step&)> on_validation_batch_start{};
  std::function<void(const Batch&, Step&)> on_validation_batch_end{};
  std::function<void(Run&)> on_validation_epoch_end{};
  std::function<void(Run&)> on_validation_end{};
  std::function<void(Run&)> on_train_epoch_end{};
  std::function<void(Run&)> on_train_end{};
  std::function<void(Run&)> on_fit_end{};
  std::function<void(Run&)> on_test_start{};
  std::function<void(Run&)> on_test_epoch_start{};
  std::function<void(const Batch&, Step&)> on_test_batch_start{};
  std::function<void(const Batch&, Step&)> on_test_batch_end{};
  std::function<void(Run&)> on_test_epoch_end{};
  std::function<void(Run&)> on_test_end{};
  std::function<void(Run&)> on_predict_start{};
  std::function<void(Run&)> on_predict_epoch_start{};
  std::function<void(const Batch&, Step&)> on_predict_batch_start{};
  std::function<void(const NamedTensors&, const Batch&, Step&)> on_predict_batch_end{};
  std::function<void(Run&)> on_predict_epoch_end{};
  std::function<void(Run&)> on_predict_end{};
  std::function<void(Stage, Run&)> teardown{};
  std::function<void(StateDict&, Run&)> on_save_checkpoint{};
  std::function<void(const StateDict&, Run&)> on_load_checkpoint{};
  std::function<void(const std::exception&, Run&)> on_exception{};
};

/// A callback whose hooks are functions, for what isn't worth a class. Lightning: LambdaCallback.
///
///     trainer.add<levin::LambdaCallback>({.on_train_epoch_end = [](levin::Run& run) {
///       std::printf("epoch %ld\n", run.epoch());
///     }});
///
/// A hook without a function costs a step nothing. YAML files can't name this callback, because
/// functions aren't settings.
class LambdaCallback : public Callback {
 public:
  using Options = LambdaCallbackOptions;
  explicit LambdaCallback(LambdaCallbackOptions options) : on_(std::move(options)) {}

  /// Only the hooks inside a step that have a function.
  HookSet used_hooks(HookSet overridden) const override;

  void setup(Stage stage, Run& run) override { call(on_.setup, stage, run); }
  void teardown(Stage stage, Run& run) override { call(on_.teardown, stage, run); }
  void on_fit_start(Run& run) override { call(on_.on_fit_start, run); }
  void on_fit_end(Run& run) override { call(on_.on_fit_end, run); }
  void on_sanity_check_start(Run& run) override { call(on_.on_sanity_check_start, run); }
  void on_sanity_check_end(Run& run) override { call(on_.on_sanity_check_end, run); }
  void on_train_start(Run& run) override { call(on_.on_train_start, run); }
  void on_train_end(Run& run) override { call(on_.on_train_end, run); }
  void on_train_epoch_start(Run& run) override { call(on_.on_train_epoch_start, run); }
  void on_train_epoch_end(Run& run) override { call(on_.on_train_epoch_end, run); }
  void on_train_batch_start(const Batch& batch, Step& step) override {
    call(on_.on_train_batch_start, batch, step);
  }
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override {
    call(on_.on_train_batch_end, loss, batch, step);
  }
  void on_before_zero_grad(Optimizer& optimizer, Step& step) override {
    call(on_.on_before_zero_grad, optimizer, step);
  }
  void on_before_backward(const torch::Tensor& loss, Step& step) override {
    call(on_.on_before_backward, loss, step);
  }
  void on_after_backward(Step& step) override { call(on_.on_after_backward, step); }
  void on_before_optimizer_step(Optimizer& optimizer, Step& step) override {
    call(on_.on_before_optimizer_step, optimizer, step);
  }
  void on_validation_start(Run& run) override { call(on_.on_validation_start, run); }
  void on_validation_end(Run& run) override { call(on_.on_validation_end, run); }
  void on_validation_epoch_start(Run& run) override { call(on_.on_validation_epoch_start, run); }
  void on_validation_epoch_end(Run& run) override { call(on_.on_validation_epoch_end, run); }
  void on_validation_batch_start(const Batch& batch, Step& step) override {
    call(on_.on_validation_batch_start, batch, step);
  }
  void on_validation_batch_end(const Batch& batch, Step& step) override {
    call(on_.on_validation_batch_end, batch, step);
  }
  void on_test_start(Run& run) override { call(on_.on_test_start, run); }
  void on_test_end(Run& run) override { call(on_.on_test_end, run); }
  void on_test_epoch_start(Run& run) override { call(on_.on_test_epoch_start, run); }
  void on_test_epoch_end(Run& run) override { call(on_.on_test_epoch_end, run); }
  void on_test_batch_start(const Batch& batch, Step& step) override {
    call(on_.on_test_batch_start, batch, step);
  }
  void on_test_batch_end(const Batch& batch, Step& step) override {
    call(on_.on_test_batch_end, batch, step);
  }
  void on_predict_start(Run& run) override { call(on_.on_predict_start, run); }
  void on_predict_end(Run& run) override { call(on_.on_predict_end, run); }
  void on_predict_epoch_start(Run& run) override { call(on_.on_predict_epoch_start, run); }
  void on_predict_epoch_end(Run& run) override { call(on_.on_predict_epoch_end, run); }
  void on_predict_batch_start(const Batch& batch, Step& step) override {
    call(on_.on_predict_batch_start, batch, step);
  }
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override {
    call(on_.on_predict_batch_end, outputs, batch, step);
  }
  void on_save_checkpoint(StateDict& checkpoint, Run& run) override {
    call(on_.on_save_checkpoint, checkpoint, run);
  }
  void on_load_checkpoint(const StateDict& checkpoint, Run& run) override {
    call(on_.on_load_checkpoint, checkpoint, run);
  }
  void on_exception(const std::exception& error, Run& run) override {
    call(on_.on_exception, error, run);
  }

 private:
  template <class Function, class... Arguments>
  static void call(const Function& function, Arguments&&... arguments) {
    if (function) function(std::forward<Arguments>(arguments)...);
  }

  LambdaCallbackOptions on_;
};

}  // namespace levin
