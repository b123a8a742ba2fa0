#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/hooks.h>
#include <levin/framework/run/module_weights.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class ModuleCallbacks;
class DataLoaders;
class ScheduleStep;
class TrainingSet;

/// A torch::nn::Module that also says how it is trained: subclass it and override what you need.
/// It can live on the stack or wherever you like. Lightning: LightningModule.
///
///     class Net : public levin::Module {
///      public:
///       torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
///         auto loss = torch::cross_entropy_loss(linear_(batch.input()), batch.target());
///         step.log("train_loss", loss);
///         return loss;
///       }
///       levin::NamedTensors predict(const levin::Batch& batch) override {
///         return {{"class", linear_(batch.input()).argmax(1)}};
///       }
///       levin::Optimizers configure_optimizers() override {
///         return levin::Adam(parameters(), {.learning_rate = 1e-3});
///       }
///       ...
///     };
///
/// A fit needs training_step. If there is no validation_step, it leaves validation out and says so
/// if there are validation data. Trainer::validate, test and predict throw ModuleError, before they
/// do anything, if the module doesn't have their step (or `predict`). Lightning: the same.
class Module : public torch::nn::Module, public Hooks {
 public:
  /// Returns the loss of one batch: a scalar with a graph, the mean over the batch's rows, or an
  /// undefined tensor to skip the batch.
  virtual torch::Tensor training_step(const Batch& batch, Step& step);
  /// Logs metrics of one batch. The Trainer calls it in evaluation mode and without gradients.
  virtual void validation_step(const Batch& batch, Step& step);
  virtual void test_step(const Batch& batch, Step& step);
  /// Returns what `Trainer::predict` collects of one batch, each tensor [rows, ...]. The default
  /// returns `predict(batch)`; override it for what needs the Step.
  virtual NamedTensors predict_step(const Batch& batch, Step& step);

  /// Returns the predictions for one batch, each tensor [rows, ...], in the mode the module is in:
  /// call `eval()` first, unless `load_module` made the module.
  ///
  ///     auto module = levin::load_module(levin::shipped_classes(), "best.ckpt");
  ///     auto outputs = module->predict(levin::Batch({{"input", x}}));
  ///
  /// No Trainer is needed. The batch must be on the module's device, and be what a step would get:
  /// the transfer hooks below, if they change batches, aren't called here.
  virtual NamedTensors predict(const Batch& batch);

  /// Returns the optimizer, with its scheduler if any. The module is on its device by then. A
  /// module that optimizes by hand may return several (Optimizers::add).
  virtual Optimizers configure_optimizers();
  /// Returns callbacks that this module wants (module_callbacks.h): each stage adds them after
  /// those of the Trainer, of which it leaves out those of the same classes. Lightning:
  /// configure_callbacks.
  virtual ModuleCallbacks configure_callbacks();
  /// Whether the loop calls backward and the optimizer. If it returns false, training_step does
  /// that by hand, for example with several optimizers: see Step::backward. It may then return any
  /// loss, which is only shown, or an undefined tensor. Neither accumulate_grad_batches nor
  /// gradient_clip_val can be used, and a batch that has fewer rows than there are ranks is left
  /// out. Asked once before each fit. Lightning: automatic_optimization.
  virtual bool automatic_optimization() const { return true; }
  /// The number of optimizer steps that the fit will make in all (Run::estimated_stepping_batches).
  /// Known in configure_optimizers, and until the next fit.
  std::optional<int64_t> estimated_stepping_batches() const { return estimated_steps_; }
  void set_estimated_stepping_batches(std::optional<int64_t> steps) { estimated_steps_ = steps; }

  /// Computes the gradients of `loss`; the strategy calls it. Override it for gradients in closed
  /// form.
  virtual void backward(const torch::Tensor& loss);
  /// Calls `optimizer.step(closure)`; override it to warm up, skip or repeat steps.
  virtual void optimizer_step(Optimizer& optimizer, const Closure& closure);
  /// Clips the gradients, after on_before_optimizer_step and before the optimizer steps. The
  /// default calls `step.clip_by_options()`; override it to clip in another way, for example by
  /// `step.clip_gradients(0, max_norm)`. Not called if the module optimizes by hand.
  virtual void configure_gradient_clipping(Optimizer& optimizer, Step& step);
  /// Called each time a learning-rate scheduler is due, on every rank; the default calls
  /// `schedule.step()`. Override it to leave the scheduler where it is, or to move it elsewhere, by
  /// what is the same on every rank.
  virtual void lr_scheduler_step(ScheduleStep& schedule);

  /// What a solver needs to know of a loss that is linear in the parameters up to a function of
  /// each row's outputs, as that of a logistic regression; nothing for other modules. Solvers then
  /// compute the loss, its gradient and its curvature in closed form; they don't call
  /// training_step. Asked once, before the first iteration.
  virtual std::optional<LinearLoss> linear_loss() const { return {}; }

  /// Called at the beginning of each fit with what can be known of the training data
  /// (framework/data/training_set.h), before weights are loaded, the module moves to its device and
  /// its optimizers are made. Override it to find out what the module wasn't told, such as the
  /// number of features. Every rank calls it with the same data. Throw DataError if the data aren't
  /// those that the module was shaped for. In a training loop of your own, call it first.
  virtual void prepare(const TrainingSet& /*train*/) {}
  /// Called before the weights of a checkpoint are loaded, with the settings of the module that
  /// they are of (`hyper_parameters`). Override it to take over from them what this module wasn't
  /// told and `prepare` hasn't found out.
  virtual void prepare_like(const Value& /*settings*/) {}

  /// Called before the first batch of fit, validate and test, with the loaders. Override it to
  /// throw DataError for data this module can't be run on.
  virtual void check_data(const DataLoaders& /*loaders*/) const {}

  /// Whether training_step reads the rows of the input from the data set itself
  /// (`Batch::input_rows`). If so, training batches of data in memory refer to their rows in the
  /// data set and hold no copy of them; `Batch::input` of the const batch then makes a copy at each
  /// call. Asked before each epoch.
  virtual bool reads_rows_in_place() const { return false; }

  /// Whether a whole training step of this module may be captured in a CUDA graph, which is then
  /// replayed for each batch (the option cuda_graph). Override it to return true if training_step,
  /// backward, optimizer_step and the module's own hooks inside the step do the same for every
  /// batch: the host decides nothing by the values of tensors and changes nothing from step to
  /// step, because it runs this code only once. No number is read from the GPU or logged as a
  /// double. Of batches that aren't full, and of all batches on the CPU, nothing is captured.
  virtual bool capturable() const { return false; }

  /// Hooks of a Module around each batch (Hooks). The functions here do nothing but note that they
  /// aren't overridden: then several captured steps can follow each other without the host.
  void on_train_batch_start(const Batch& /*batch*/, Step& /*step*/) override {
    ignores_batch_start_ = true;
  }
  void on_train_batch_end(const torch::Tensor& /*loss*/, const Batch& /*batch*/,
                          Step& /*step*/) override {
    ignores_batch_end_ = true;
  }
  /// Whether these two hooks do nothing. Known once both were called.
  bool ignores_batches() const { return ignores_batch_start_ && ignores_batch_end_; }

  /// Called before each batch moves to the device, and after. Override them to change the batch:
  /// change a tensor in place (`batch.input().sub_(mean)`) or replace it by `batch.set`. A module
  /// that overrides one of them shouldn't call the function here, by which the Trainer learns that
  /// batches are left as they are; then it may keep the data on the GPU, and capture steps.
  virtual void on_before_batch_transfer(Batch& /*batch*/) { leaves_before_transfer_ = true; }
  virtual void on_after_batch_transfer(Batch& /*batch*/) { leaves_after_transfer_ = true; }
  /// Whether the two functions above leave batches as they are. Known once both were called.
  bool leaves_batches() const { return leaves_before_transfer_ && leaves_after_transfer_; }

  /// The name that checkpoints give the module's class, under which `load_module` looks for it. The
  /// default is the name under which a registry made the module, or else the C++ class's name
  /// without its namespaces. Override it if the class is registered under another name.
  virtual std::string class_name() const;
  /// The settings the module was made with, an object; checkpoints and hparams.yaml have them. The
  /// default is the settings with which a registry made the module, or else an empty object.
  /// Override it for modules that are made otherwise, with the names that `describe` gives the
  /// class's options: from them `load_module` makes the module again.
  virtual Value hyper_parameters() const { return registered_settings_; }
  /// Tells a module under which name and with which settings it was made; registries call this.
  void set_registered(std::string name, Value settings);
  /// Whether the weights are other than those that the constructor made: a fit has trained them, or
  /// `load_state_dict` has loaded them. The Trainer warns if it evaluates weights that aren't. Call
  /// `set_trained` if you have set them in another way.
  bool is_trained() const { return is_trained_; }
  void set_trained(bool is_trained = true) { is_trained_ = is_trained; }

  /// What the data module had learned from the data that this module was trained on
  /// (`DataModule::fitted_state`, with the names of the classes as "class_names"); empty if that
  /// isn't known. The Trainer sets it when it trains the module; the Trainer, `load_module` and
  /// `load_state_dict` do when they load a checkpoint of it. The Trainer hands it to the data
  /// modules that the module is run on.
  const StateDict& data_state() const { return data_state_; }
  void set_data_state(StateDict state) { data_state_ = std::move(state); }

  /// Parameters and buffers by name. A tied one appears once, under its first name.
  StateDict state_dict() const;
  /// Copies parameters and buffers from `state`; a tied one may be under any of its names. `state`
  /// may also be a whole checkpoint of a fit, of which the module's part and `data_state` are
  /// taken:
  ///
  ///     module.load_state_dict(levin::load_checkpoint("best.ckpt"));
  ///
  /// Throws CheckpointError, before anything is changed, that lists all that are missing,
  /// unexpected, of another shape or type, or without data because load_checkpoint_outline read
  /// them. If `strict` is false, copies those that fit and returns what is wrong with the others.
  std::vector<std::string> load_state_dict(const StateDict& state, bool strict = true);

  /// Whether checkpoints that the Trainer loads must have exactly the module's parameters and
  /// buffers. If it returns false, what fits is loaded, and one warning lists the rest. Override it
  /// if, for example, on_save_checkpoint leaves out a frozen backbone. Lightning: strict_loading.
  virtual bool strict_loading() const { return true; }

  /// A batch with which `predict` is called once to show something of the module: the sizes of each
  /// layer's input and output (ModelSummary), or its graph (TensorBoardLogger). Empty: none.
  /// Lightning: example_input_array.
  virtual NamedTensors example_input_array() const { return {}; }

  /// Where the first parameter (or else buffer) is, and the type of the first with a fraction; the
  /// CPU and float32 if there is none. They look it up: don't call them for each row.
  at::Device device() const;
  at::ScalarType dtype() const;
  bool on_gpu() const { return device().is_cuda(); }

  /// The module's parameters and buffers, those of its children too if `recurse`, as LibTorch
  /// returns them, but each tensor once. If a layer was registered twice, or two layers share a
  /// parameter, the first name counts, as in Python. These hide the functions of torch::nn::Module,
  /// which return such a tensor several times, so that an optimizer would change it several times.
  std::vector<torch::Tensor> parameters(bool recurse = true) const;
  torch::OrderedDict<std::string, torch::Tensor> named_parameters(bool recurse = true) const;
  std::vector<torch::Tensor> buffers(bool recurse = true) const;
  torch::OrderedDict<std::string, torch::Tensor> named_buffers(bool recurse = true) const;

  /// The number of elements of all parameters, or of the trainable ones; tied ones count once.
  int64_t num_parameters(bool trainable_only = false) const;

 private:
  std::string registered_name_;
  Value registered_settings_ = Value::Object{};
  StateDict data_state_;
  std::optional<int64_t> estimated_steps_;
  bool is_trained_ = false;
  bool ignores_batch_start_ = false;
  bool ignores_batch_end_ = false;
  bool leaves_before_transfer_ = false;
  bool leaves_after_transfer_ = false;
};

}  // namespace levin
