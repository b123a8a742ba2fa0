#pragma once

#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/hooks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class DataLoaders;

/// What users subclass: a torch::nn::Module that knows how it learns. Lives on the stack or
/// wherever the user likes. Lightning: LightningModule.
class Module : public torch::nn::Module, public Hooks {
 public:
  /// The loss of one batch, a scalar with a graph; an undefined tensor skips the batch.
  virtual torch::Tensor training_step(const Batch& batch, Step& step);
  /// Log what is to be known of one batch; no gradients are recorded.
  virtual void validation_step(const Batch& batch, Step& step);
  virtual void test_step(const Batch& batch, Step& step);
  /// What `predict` collects of one batch, each [rows, ...].
  virtual NamedTensors predict_step(const Batch& batch, Step& step);

  /// The optimizer, with its scheduler if any; called once the module is on its device.
  virtual Optimizers configure_optimizers();

  /// Computes the gradients of `loss`; the strategy calls it. Override for a closed form.
  virtual void backward(const torch::Tensor& loss);
  /// Calls `optimizer.step(closure)`; override to warm up, skip or repeat steps.
  virtual void optimizer_step(Optimizer& optimizer, const Closure& closure);

  /// Before a stage's first batch, with its loaders: throw DataError for data this module can't be
  /// run on.
  virtual void check_data(const DataLoaders& /*loaders*/) const {}

  /// Whether training_step reads the rows of the input where they lie (`Batch::input_rows`). If so,
  /// training batches of data in memory refer to their rows in the data set instead of holding a
  /// copy of them, and `Batch::input` copies them at each call. Asked before each epoch.
  virtual bool reads_rows_in_place() const { return false; }

  /// Before each batch moves to the device, and after; override to change it there.
  virtual void on_before_batch_transfer(Batch& /*batch*/) {}
  virtual void on_after_batch_transfer(Batch& /*batch*/) {}

  /// The settings it was made with: saved in checkpoints and hparams.yaml.
  virtual Value hyper_parameters() const { return Value::Object{}; }

  /// Parameters and buffers by name; tied ones under their first name only.
  StateDict state_dict() const;
  /// Copies them back; a tied one by any of its names. Throws CheckpointError listing what is
  /// missing, unexpected or of another shape or type, before anything is changed; not strict: takes
  /// what fits.
  void load_state_dict(const StateDict& state, bool strict = true);

  /// The number of elements of all parameters (or the trainable ones), tied ones once.
  int64_t num_parameters(bool trainable_only = false) const;
};

}  // namespace levin
