#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <levin/framework/run/manual_optimization.h>
#include <levin/framework/run/run.h>

namespace levin {

/// The step in progress, as training_step, validation_step and the hooks inside a step get it:
/// where the run is, and `log`. Lightning: self.log, batch_idx, dataloader_idx.
///
///     torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
///       auto loss = torch::mse_loss(net_(batch.input()), batch.target());
///       step.log("train_loss", loss, {.on_epoch = true, .prog_bar = true});
///       return loss;
///     }
///
/// The loop owns it and uses one object for all batches; don't keep it after the hook has returned.
class Step {
 public:
  /// Keeps both references; the loops call this.
  Step(Run& run, LoggedValues& metrics) : run_(run), metrics_(metrics) {}

  /// Logs a value under a name. In training this is the value of the step (`on_step`), in
  /// validation and test the mean over the epoch's rows (`on_epoch`), unless `options` says
  /// otherwise.
  ///
  /// A tensor must have one element. It stays on its device until a value is read, so logging
  /// doesn't wait for a GPU, and no gradient flows through it. Throws ModuleError in predict, for a
  /// tensor of several elements, if the name was logged before with other options, and for a double
  /// in a step that is captured in a CUDA graph (Module::capturable).
  void log(std::string_view name, const torch::Tensor& value, const LogOptions& options = {}) {
    if (muted_) return;
    if (forbidden_) refuse(name);
    metrics_.log(name, value, options, on_step_, !on_step_);
  }
  void log(std::string_view name, double value, const LogOptions& options = {}) {
    if (muted_) return;
    if (forbidden_) refuse(name);
    metrics_.log(name, value, options, on_step_, !on_step_);
  }

  /// Logs a metric with a state (framework/metrics/), which you have updated with the rows of this
  /// batch. At the epoch's end its value, of the rows of all batches, loaders and ranks, is logged
  /// as `name`, or its values as name_cat, name_dog ...; then it forgets them. With `on_step`, the
  /// value of this batch is logged as well, which waits for the device.
  ///
  ///     f1_.update(probabilities, batch.target());
  ///     step.log("val_f1", f1_, {.prog_bar = true});
  ///
  /// The state is in checkpoints. Throws ModuleError if the metric is logged under another name or
  /// in another stage, too, and in a step that is captured in a CUDA graph for metrics that can't
  /// be (Metric::is_capturable). An optimizer that evaluates its closure again, as LBFGS, updates a
  /// training metric again, too.
  void log(std::string_view name, Metric& metric, const LogOptions& options = {}) {
    if (muted_) return;
    if (forbidden_) refuse(name);
    metrics_.log(name, metric, options);
  }

  /// Says how much this batch counts: the number of what its loss is the mean over, such as tokens,
  /// if these aren't its rows. Gradients of accumulated batches and of ranks are weighted by it, so
  /// that they are those of the mean over all tokens of the optimizer step. Values that are logged
  /// afterwards are, too, unless they have a `batch_size` of their own; so call it first:
  ///
  ///     step.set_batch_size(mask.sum().item<int64_t>());
  ///     step.log("train_loss", loss);
  ///     return loss;  // the mean over the tokens of the mask
  ///
  /// It holds for this batch. Every batch of an optimizer step should say it, on every rank.
  /// Throws ModuleError if the number isn't positive: a training_step that has nothing to learn
  /// from returns an undefined tensor. If the module optimizes by hand, only logged values are
  /// weighted by it. Steps that are captured in a CUDA graph and solvers can't use it.
  void set_batch_size(int64_t size);
  /// Logs several values, each a number, a tensor or a metric, with the same options. Allocates no
  /// memory. Values that are in a map or a list already are logged as well. Lightning: log_dict.
  ///
  ///     step.log_dict({{"loss", loss}, {"acc", accuracy}}, {.prog_bar = true});
  void log_dict(std::initializer_list<NamedValue> values, const LogOptions& options = {}) {
    for (const NamedValue& one : values) {
      one.value.visit([&](auto& value) { log(one.name, value, options); });
    }
  }
  template <class Pairs>
  void log_dict(const Pairs& pairs, const LogOptions& options = {}) {
    for (const auto& [name, value] : pairs) log(name, value, options);
  }

  /// The tensors of all ranks, [ranks, ...]: see Run::all_gather.
  torch::Tensor all_gather(const torch::Tensor& own, bool sync_grads = false) const {
    return run_.all_gather(own, sync_grads);
  }

  /// What the Trainer is doing, the epoch counted from 0, and the number of optimizer steps done so
  /// far.
  Stage stage() const { return run_.stage(); }
  int64_t epoch() const { return run_.epoch(); }
  int64_t global_step() const { return run_.global_step(); }
  /// The number of the batch in its epoch or, in evaluation, in its loader; counted from 0.
  int64_t batch_index() const { return batch_index_; }
  /// The number of the loader that the batch came from, counted from 0.
  int64_t dataloader_index() const { return dataloader_index_; }
  /// The run, for requests, for metrics and for the rest of its state.
  Run& run() const { return run_; }

  /// The norm that the gradients had before gradient_clip_val clipped them, in the last optimizer
  /// step: a copy of it, [], on the device. Undefined if gradients aren't clipped by their norm. It
  /// costs no further pass over the gradients:
  ///
  ///     void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step& step) {
  ///       if (auto norm = step.gradient_norm(); norm.defined()) step.log("grad_norm", norm);
  ///     }
  torch::Tensor gradient_norm() const;

  /// Clips the gradients as gradient_clip_val and gradient_clip_algorithm of the Trainer say; does
  /// nothing if they say nothing. Only for Module::configure_gradient_clipping, which may also call
  /// clip_gradients(0, ...) and clip_gradient_values(0, ...); elsewhere it throws ModuleError.
  void clip_by_options() { manual("clip_by_options").clip_by_options(); }

  // By hand. These functions are for the training_step of a module that optimizes by hand
  // (Module::automatic_optimization); elsewhere they throw ModuleError. `optimizer` is the number
  // of an optimizer in the order of configure_optimizers, counted from 0.
  //
  //     step.toggle(1);
  //     step.zero_grad(1);
  //     step.backward(loss);
  //     step.clip_gradients(1, 1.0);
  //     step.step(1);
  //     step.untoggle();
  //
  // With several ranks, every rank has to make the same calls of zero_grad, clip_gradients and step
  // in the same order: an optimizer's gradients are summed over ranks when they are needed first,
  // in clip_gradients or in step. A rank's loss counts by its rows, as in automatic optimization.

  /// Adds the gradients of `loss`, a scalar with a graph, to those of the parameters. With
  /// precision = 16-mixed it scales the loss first. Lightning: manual_backward.
  void backward(const torch::Tensor& loss) { manual("backward").backward(loss); }
  /// Drops the gradients of the optimizer's parameters. To be called before the first `backward`
  /// for them that follows a step.
  void zero_grad(size_t optimizer = 0) { manual("zero_grad").zero_grad(optimizer); }
  /// Scales the gradients of the optimizer's parameters down so that their joint norm is at most
  /// `max_norm`, and returns the norm that they had, []. To be called between `backward` and
  /// `step`.
  torch::Tensor clip_gradients(size_t optimizer, double max_norm) {
    return manual("clip_gradients").clip_gradients(optimizer, max_norm);
  }
  /// The same, but clamps each entry to [-clip_value, clip_value].
  void clip_gradient_values(size_t optimizer, double clip_value) {
    manual("clip_gradient_values").clip_gradient_values(optimizer, clip_value);
  }
  /// Lets the optimizer change its parameters by their gradients. Schedules with the interval
  /// `step` of this optimizer count it, and so does global_step, which is the number of the steps
  /// of all optimizers. Returns false if the step was left out because the gradients weren't
  /// finite, with precision = 16-mixed. Throws ModuleError if no zero_grad was called since the
  /// last step.
  bool step(size_t optimizer = 0) { return manual("step").step(optimizer); }
  /// Lets only the parameters of that optimizer require gradients, until `untoggle` or the end of
  /// training_step. A `backward` then computes no gradients for the others. Lightning:
  /// toggle_optimizer.
  void toggle(size_t optimizer) { manual("toggle").toggle(optimizer); }
  void untoggle() { manual("untoggle").untoggle(); }

  /// Skips this batch and the rest of this epoch's batches. Call it in on_train_batch_start, and on
  /// every rank.
  void skip_epoch() { skip_epoch_ = true; }

 protected:
  // The part below is for the loops, which use StepControl (run_control.h).
  ~Step() = default;
  [[noreturn]] static void refuse(std::string_view name);
  ManualOptimization& manual(const char* function) const {
    if (manual_ == nullptr) refuse_manual(function);
    return *manual_;
  }
  [[noreturn]] static void refuse_manual(const char* function);

  Run& run_;
  LoggedValues& metrics_;
  ManualOptimization* manual_ = nullptr;          // null: the loop optimizes
  const torch::Tensor* gradient_norm_ = nullptr;  // of the loop; null: there is none
  int64_t batch_index_ = 0;
  int64_t dataloader_index_ = 0;
  bool on_step_ = true;
  bool forbidden_ = false;  // in predict, where nothing can be logged
  bool muted_ = false;      // while an optimizer evaluates its closure again
  bool skip_epoch_ = false;
  std::optional<int64_t> batch_size_;  // as set_batch_size said
};

}  // namespace levin
