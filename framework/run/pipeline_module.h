#pragma once

#include <cstdint>

#include <torch/nn/modules/container/sequential.h>

#include <levin/framework/run/has_layers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>

namespace levin {

/// A Module that is a chain of layers, which the option pipeline_size can spread over ranks. It
/// says which layers these are and what the loss of their outputs is; training_step follows.
///
///     class Net : public levin::PipelineModule {
///      public:
///       torch::nn::Sequential layers() override { return layers_; }
///       torch::Tensor loss(const torch::Tensor& outputs, const levin::Batch& batch) override {
///         return torch::cross_entropy_loss(outputs, batch.target());
///       }
///       void validation_step(const levin::Batch& batch, levin::Step& step) override {
///         auto outputs = forward(batch);
///         step.log("val_loss", loss(outputs, batch));
///       }
///       levin::Optimizers configure_optimizers() override {
///         return levin::Adam(parameters(), {.learning_rate = 1e-3});
///       }
///      private:
///       torch::nn::Sequential layers_ = register_module("layers", ...);
///     };
///
/// With pipeline_size = 1, it is trained like any other module. In a pipeline, each rank has the
/// parameters of its own layers only, from `setup` of the fit until its end: `parameters` returns
/// these. The steps and hooks run on every rank with the same batches.
class PipelineModule : public Module, public HasLayers {
 public:
  /// Returns the mean loss over the rows of `batch`, a scalar, from the outputs of the chain for
  /// it, [rows, ...]. In a pipeline it is called on the last rank, once for each part of a batch.
  virtual torch::Tensor loss(const torch::Tensor& outputs, const Batch& batch) = 0;
  /// The number of what the loss is the mean over, if these aren't the rows: see
  /// Step::set_batch_size.
  virtual int64_t loss_count(const Batch& batch) { return batch.rows(); }
  /// Returns the outputs of the chain for a batch, [rows, ...]. In a pipeline all ranks call it
  /// together; it computes no gradients, and every rank gets the outputs.
  torch::Tensor forward(const Batch& batch);

  /// Trains on a batch, and logs its loss as train_loss.
  torch::Tensor training_step(const Batch& batch, Step& step) final;
  /// None: rank 0 alone would run it, which it can't in a pipeline.
  NamedTensors example_input_array() const final { return {}; }

 private:
  /// Called after each training batch with its outputs, [rows, ...], without a graph, and its loss;
  /// override it to log more than train_loss. In a pipeline, every rank then gets the outputs,
  /// which have to be sent to it. It is private so that an override can't call this one, by which
  /// modules that don't override it are told from others.
  virtual void on_outputs(const torch::Tensor& outputs, const torch::Tensor& loss,
                          const Batch& batch, Step& step);

  bool ignores_outputs_ = false;
};

}  // namespace levin
