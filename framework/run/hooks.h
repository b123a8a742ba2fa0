#pragma once

#include <exception>

#include <levin/framework/data/batch.h>
#include <levin/framework/run/step.h>

namespace levin {

class Optimizer;

/// Every hook that a Module or a Callback can override. The bodies here are empty; names and order
/// are Lightning's.
///
/// For each hook, the callbacks are called first, in the order they were added, then the module,
/// then the callbacks that watch metrics (early stopping), then those that exchange weights, and at
/// last those that save checkpoints (Callback::Order). The functions marked (Module) exist in a
/// Module only.
///
///     fit
///       configure_callbacks, before the data are prepared; so in every stage          (Module)
///       setup(fit) - on_fit_start - [sanity check: the hooks of a validation, between
///                                    on_sanity_check_start and on_sanity_check_end]
///       on_train_start
///       each epoch
///         on_train_epoch_start
///         each batch
///           on_before_batch_transfer, the move to the device, on_after_batch_transfer   (Module)
///           on_train_batch_start
///           training_step                                                               (Module)
///           on_before_zero_grad     if a new window of batches begins
///           on_before_backward - backward - on_after_backward
///           on_before_optimizer_step   if a window ends, and then
///             configure_gradient_clipping, the step, lr_scheduler_step                  (Module)
///           (a module that optimizes by hand has the calls from on_before_zero_grad on within its
///           training_step, as often as it makes them)
///           on_train_batch_end
///           [if a window has ended: validation if it has come due; then this is a step boundary,
///            and requests are acted on]
///         on_train_epoch_end        then requests are acted on again
///       on_train_end - on_fit_end - teardown(fit)
///
///     validation, and test with the names of a test
///       setup(validate) if it isn't part of a fit
///       on_validation_start - on_validation_epoch_start
///         each batch: transfer hooks, on_validation_batch_start, validation_step,
///                     on_validation_batch_end
///       on_validation_epoch_end - on_validation_end - teardown(validate) if it isn't part of a fit
///
///     predict
///       setup(predict) - on_predict_start - on_predict_epoch_start
///         each batch: transfer hooks, on_predict_batch_start, predict_step, on_predict_batch_end
///       on_predict_epoch_end - on_predict_end - teardown(predict)
///
///     saving: the state_dict of everything, then on_save_checkpoint
///     resuming: on_load_checkpoint before on_fit_start
///     an exception: on_exception, then the exception is thrown on
///
/// Logging: a hook that gets a Step logs values of the step, a hook that gets a Run logs values of
/// the epoch. Hooks outside an epoch throw ModuleError if they log: setup, teardown, on_fit_start,
/// on_fit_end, on_train_start, on_train_end, on_validation_end, on_test_end and all hooks of
/// predict.
class Hooks {
 public:
  virtual ~Hooks() = default;

  /// `setup` is called when a stage begins, after DataModule::setup and before its data are read,
  /// and `teardown` when the stage has ended without an error.
  virtual void setup(Stage /*stage*/, Run& /*run*/) {}
  virtual void teardown(Stage /*stage*/, Run& /*run*/) {}

  /// These fire around training as a whole. In on_fit_start the optimizers exist, and the
  /// checkpoint to resume from, if any, has been loaded.
  virtual void on_fit_start(Run& /*run*/) {}
  virtual void on_fit_end(Run& /*run*/) {}
  virtual void on_sanity_check_start(Run& /*run*/) {}
  virtual void on_sanity_check_end(Run& /*run*/) {}
  virtual void on_train_start(Run& /*run*/) {}
  virtual void on_train_end(Run& /*run*/) {}
  /// These fire around each training epoch. If the callback watches metrics
  /// (Callback::Order::monitor or checkpoint), Run::metrics has the epoch's values already in
  /// on_train_epoch_end, also under the plain names of metrics that were logged on_step, too.
  virtual void on_train_epoch_start(Run& /*run*/) {}
  virtual void on_train_epoch_end(Run& /*run*/) {}

  /// Fires before training_step. The batch is on its device. Step::skip_epoch leaves out this batch
  /// and the rest of the epoch.
  virtual void on_train_batch_start(const Batch& /*batch*/, Step& /*step*/) {}
  /// Fires after a batch was trained on. `loss` is what training_step returned, a scalar without
  /// its graph; undefined if training_step skipped the batch. If a hook keeps it or a tensor of the
  /// batch, later steps aren't captured in a CUDA graph, which would write them again: keep a
  /// clone.
  virtual void on_train_batch_end(const torch::Tensor& /*loss*/, const Batch& /*batch*/,
                                  Step& /*step*/) {}
  /// Fires before the gradients of the last optimizer step are dropped.
  virtual void on_before_zero_grad(Optimizer& /*optimizer*/, Step& /*step*/) {}
  /// These fire around backward. `loss` still has its graph.
  virtual void on_before_backward(const torch::Tensor& /*loss*/, Step& /*step*/) {}
  virtual void on_after_backward(Step& /*step*/) {}
  /// Fires before the optimizer steps. The gradients are complete (summed over ranks and weighted
  /// by the rows of the window) and not yet clipped.
  virtual void on_before_optimizer_step(Optimizer& /*optimizer*/, Step& /*step*/) {}

  /// These fire around a validation, within a fit or by itself. Gradients aren't recorded.
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
  /// `outputs` is what predict_step returned for the batch, each tensor [rows, ...].
  virtual void on_predict_batch_end(const NamedTensors& /*outputs*/, const Batch& /*batch*/,
                                    Step& /*step*/) {}

  /// Fires before `checkpoint` is written, and may add to it or change it. Called on every rank.
  virtual void on_save_checkpoint(StateDict& /*checkpoint*/, Run& /*run*/) {}
  /// Fires before anything is taken from `checkpoint`. Called on every rank.
  virtual void on_load_checkpoint(const StateDict& /*checkpoint*/, Run& /*run*/) {}
  /// Fires before `error`, that of the rank that failed first, is thrown out of the run. Run::save
  /// asks for a checkpoint of what there is. If this hook throws, too, the message goes to stderr.
  virtual void on_exception(const std::exception& /*error*/, Run& /*run*/) {}
};

}  // namespace levin
