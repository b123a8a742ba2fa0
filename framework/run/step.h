#pragma once

#include <cstdint>
#include <string_view>

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

  /// Skips this batch and the rest of this epoch's batches. Call it in on_train_batch_start, and on
  /// every rank.
  void skip_epoch() { skip_epoch_ = true; }

 protected:
  // The part below is for the loops, which use StepControl (run_control.h).
  ~Step() = default;
  [[noreturn]] static void refuse(std::string_view name);

  Run& run_;
  LoggedValues& metrics_;
  int64_t batch_index_ = 0;
  int64_t dataloader_index_ = 0;
  bool on_step_ = true;
  bool forbidden_ = false;  // in predict, where nothing can be logged
  bool muted_ = false;      // while an optimizer evaluates its closure again
  bool skip_epoch_ = false;
};

}  // namespace levin
