#pragma once

#include <string>
#include <string_view>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of TerminateOnNaN.
struct TerminateOnNaNOptions {
  /// Look at the gradients, too, which takes one pass over them for each step.
  bool check_gradients = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(TerminateOnNaNOptions& options);

/// Stops training when the loss of a batch is NaN or infinite, and names the batch's rows, and
/// those of them that have such values in their data. Keras: TerminateOnNaN.
///
///     trainer.add<levin::TerminateOnNaN>();
///
///     terminate on NaN: the loss of batch 17 in epoch 0 is nan; the batch has the rows 1088 to
///     1151 of the data set, of which row 1093 has a NaN or infinite value in "input"
///
/// The text is printed as a warning and becomes History::stop_reason. The step of that batch
/// changes nothing: its gradients are dropped before the optimizer sees them, so the module keeps
/// the last weights that were finite. With several ranks, training ends after the same step on all
/// of them, at most two steps later.
///
/// Reading the loss of each batch waits for the device, if the loss is on one.
class TerminateOnNaN : public Callback {
 public:
  using Options = TerminateOnNaNOptions;
  explicit TerminateOnNaN(TerminateOnNaNOptions options = {}) : options_(options) {}

  /// What was found; empty if nothing was.
  const std::string& finding() const { return finding_; }

  void on_fit_start(Run& run) override;
  void on_train_batch_start(const Batch& batch, Step& step) override;
  void on_before_backward(const torch::Tensor& loss, Step& step) override;
  void on_before_optimizer_step(Optimizer& optimizer, Step& step) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;

 private:
  void find(std::string_view subject, std::string_view verdict, const Step& step);

  TerminateOnNaNOptions options_;
  const Batch* batch_ = nullptr;  // the one in progress
  std::string finding_;
};

}  // namespace levin
