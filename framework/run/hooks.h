#pragma once

#include <exception>

#include <levin/framework/data/batch.h>
#include <levin/framework/run/step.h>

namespace levin {

class Optimizer;

/// The hooks that a Module or a Callback can override. Their bodies are empty; names and order are
/// Lightning's.
///
/// For each hook the callbacks are called first, in the order they were added, then the module,
/// then the callbacks that watch what was logged (early stopping), and last those that save
/// checkpoints.
/// "(Module)" below marks what only the module has.
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
///           on_before_zero_grad     if a new window of accumulated batches starts
///           on_before_backward - backward - on_after_backward
///           on_before_optimizer_step, clipping, the step, schedulers   if a window ends
///           on_train_batch_end
///           [validation if it is due; then requests are acted on: the step boundary]
///         on_train_epoch_end        requests are acted on again
///       on_train_end - on_fit_end - teardown(fit)
///
///     validation (test has the same hooks with "test" in their names)
///       setup(validate) if Trainer::validate called it, rather than fit
///       on_validation_start - on_validation_epoch_start
///         each batch: transfer hooks, on_validation_batch_start, validation_step,
///                     on_validation_batch_end
///       on_validation_epoch_end - on_validation_end - teardown(validate) as setup
///
///     predict
///       on_predict_start - on_predict_epoch_start
///         each batch: transfer hooks, on_predict_batch_start, predict_step (which calls predict
///                     unless the module overrides it), on_predict_batch_end
///       on_predict_epoch_end - on_predict_end
///
///     saving: the state_dict of everything that has one, then on_save_checkpoint
///     loading: on_load_checkpoint, for fit before on_fit_start
///     an exception: on_exception, then the exception is thrown on
///
/// Logging: hooks that get a Step log values of the step, hooks that get a Run values of the epoch.
/// setup, teardown, on_fit_start, on_fit_end, on_train_start, the *_end hooks that come after
/// *_epoch_end, and the hooks of predict throw ModuleError for a call of `log`.
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
  /// `loss` is what training_step returned, without its graph; undefined if it skipped the batch.
  virtual void on_train_batch_end(const torch::Tensor& /*loss*/, const Batch& /*batch*/,
                                  Step& /*step*/) {}
  virtual void on_before_zero_grad(Optimizer& /*optimizer*/, Step& /*step*/) {}
  virtual void on_before_backward(const torch::Tensor& /*loss*/, Step& /*step*/) {}
  virtual void on_after_backward(Step& /*step*/) {}
  /// The gradients are complete (summed over the ranks, divided by the window's rows), but not yet
  /// clipped.
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

  /// Called with what a checkpoint will hold; override it to add to that or to change it.
  virtual void on_save_checkpoint(StateDict& /*checkpoint*/, Run& /*run*/) {}
  /// Called with what a checkpoint holds, before it is put into the module and the callbacks.
  virtual void on_load_checkpoint(const StateDict& /*checkpoint*/, Run& /*run*/) {}
  virtual void on_exception(const std::exception& /*error*/, Run& /*run*/) {}
};

}  // namespace levin
