#pragma once

#include <cstdint>
#include <string_view>

#include <levin/framework/run/run.h>

namespace levin {

/// What hooks inside a step see and log to. `log` defaults to on_step in training and to on_epoch
/// in validation and test. Lightning: self.log, batch_idx, dataloader_idx.
class Step {
 public:
  Step(Run& run, LoggedValues& metrics) : run_(run), metrics_(metrics) {}

  /// Logs a one-element tensor; it stays on its device, and no gradient flows through it.
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

  Stage stage() const { return run_.stage(); }
  int64_t epoch() const { return run_.epoch(); }
  int64_t global_step() const { return run_.global_step(); }
  /// The batch's number in its epoch (or evaluation loader), from 0.
  int64_t batch_index() const { return batch_index_; }
  /// Which of several loaders the batch came from, from 0.
  int64_t dataloader_index() const { return dataloader_index_; }
  /// The run, for its requests and the rest of its state.
  Run& run() const { return run_; }

  /// Leaves out the rest of this epoch's batches, this one included. For on_train_batch_start.
  void skip_epoch() { skip_epoch_ = true; }

 protected:
  // The part below is the loops' (StepControl in run_control.h).
  ~Step() = default;
  [[noreturn]] static void refuse(std::string_view name);

  Run& run_;
  LoggedValues& metrics_;
  int64_t batch_index_ = 0;
  int64_t dataloader_index_ = 0;
  bool on_step_ = true;
  bool forbidden_ = false;  // predict: nothing is logged
  bool muted_ = false;      // a closure evaluated again: only its first evaluation is logged
  bool skip_epoch_ = false;
};

}  // namespace levin
