#pragma once

#include <exception>

#include <levin/framework/data/batch.h>
#include <levin/framework/run/step.h>

namespace levin {

class Optimizer;

/// Every hook a Module or a Callback can override: empty bodies, Lightning's names and order.
///
/// For each hook the callbacks come first in the order they were added, then the module, then the
/// callbacks that watch what was logged (early stopping), checkpoints last.
///
///     fit
///       setup(fit) - on_fit_start - [sanity check: the validation hooks between
///                                    on_sanity_check_start and on_sanity_check_end]
///       on_train_start
///       each epoch
///         on_train_epoch_start
///         each batch
///           on_before_batch_transfer, the move to the device, on_after_batch_transfer   (Module)
///           on_train_batch_start
///           training_step                                                               (Module)
///           on_before_zero_grad     where a new window starts
///           on_before_backward - backward - on_after_backward
///           on_before_optimizer_step, clipping, the step, schedulers   where a window ends
///           on_train_batch_end
///           [validation where it is due; then requests are acted on: the step boundary]
///         on_train_epoch_end        requests are acted on again
///       on_train_end - on_fit_end - teardown(fit)
///
///     validation (test the same with its names)
///       setup(validate) where called by itself
///       on_validation_start - on_validation_epoch_start
///         each batch: transfer hooks, on_validation_batch_start, validation_step,
///                     on_validation_batch_end
///       on_validation_epoch_end - on_validation_end - teardown(validate) where called by itself
///
///     predict
///       on_predict_start - on_predict_epoch_start
///         each batch: transfer hooks, on_predict_batch_start, predict_step, on_predict_batch_end
///       on_predict_epoch_end - on_predict_end
///
///     saving: state_dict of everything, then on_save_checkpoint
///     resuming: on_load_checkpoint before on_fit_start
///     an exception: on_exception, then it is thrown on
///
/// Logging: hooks with a Step log to the step, hooks with a Run to the epoch; setup, teardown,
/// on_fit_start, on_fit_end, on_train_start, the *_end hooks after an epoch's, and predict refuse
/// it with a ModuleError.
class Hooks {
 public:
  virtual ~Hooks() = default;

  virtual void setup(Stage /*stage*/, Run& /*run*/) {}
  virtual void teardown(Stage /*stage*/, Run& /*run*/) {}

  virtual void on_fit_start(Run& /*run*/) {}
  virtual void on_fit_end(Run& /*run*/) {}
  virtual void on_sanity_check_start(Run& /*run*/) {}
  virtual void on_sanity_check_end(Run& /*run*/) {}
  virtual void on_train_start(Run& /*run*/) {}
  virtual void on_train_end(Run& /*run*/) {}
  virtual void on_train_epoch_start(Run& /*run*/) {}
  virtual void on_train_epoch_end(Run& /*run*/) {}

  virtual void on_train_batch_start(const Batch& /*batch*/, Step& /*step*/) {}
  /// `loss` is what training_step returned, without a graph; undefined where it skipped the batch.
  virtual void on_train_batch_end(const torch::Tensor& /*loss*/, const Batch& /*batch*/,
                                  Step& /*step*/) {}
  virtual void on_before_zero_grad(Optimizer& /*optimizer*/, Step& /*step*/) {}
  virtual void on_before_backward(const torch::Tensor& /*loss*/, Step& /*step*/) {}
  virtual void on_after_backward(Step& /*step*/) {}
  /// Gradients are complete (reduced over ranks, divided by the window's rows), not yet clipped.
  virtual void on_before_optimizer_step(Optimizer& /*optimizer*/, Step& /*step*/) {}

  virtual void on_validation_start(Run& /*run*/) {}
  virtual void on_validation_end(Run& /*run*/) {}
  virtual void on_validation_epoch_start(Run& /*run*/) {}
  virtual void on_validation_epoch_end(Run& /*run*/) {}
  virtual void on_validation_batch_start(const Batch& /*batch*/, Step& /*step*/) {}
  virtual void on_validation_batch_end(const Batch& /*batch*/, Step& /*step*/) {}

  virtual void on_test_start(Run& /*run*/) {}
  virtual void on_test_end(Run& /*run*/) {}
  virtual void on_test_epoch_start(Run& /*run*/) {}
  virtual void on_test_epoch_end(Run& /*run*/) {}
  virtual void on_test_batch_start(const Batch& /*batch*/, Step& /*step*/) {}
  virtual void on_test_batch_end(const Batch& /*batch*/, Step& /*step*/) {}

  virtual void on_predict_start(Run& /*run*/) {}
  virtual void on_predict_end(Run& /*run*/) {}
  virtual void on_predict_epoch_start(Run& /*run*/) {}
  virtual void on_predict_epoch_end(Run& /*run*/) {}
  virtual void on_predict_batch_start(const Batch& /*batch*/, Step& /*step*/) {}
  virtual void on_predict_batch_end(const NamedTensors& /*outputs*/, const Batch& /*batch*/,
                                    Step& /*step*/) {}

  /// May add to, or change, what a checkpoint holds.
  virtual void on_save_checkpoint(StateDict& /*checkpoint*/, Run& /*run*/) {}
  virtual void on_load_checkpoint(const StateDict& /*checkpoint*/, Run& /*run*/) {}
  virtual void on_exception(const std::exception& /*error*/, Run& /*run*/) {}
};

}  // namespace levin
