#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Warns once if the loss of a fit explodes: it is NaN or infinite, or more than a thousand times
/// as large as at the beginning. Training goes on; the EarlyStopping callback can end it.
///
///     LossWatch watch(parts, optimizers);
///     if (stepped && watch.is_due(run.global_step())) watch.look(training_step.loss());
///
/// It looks at the first step and then as often as the loggers get rows, because reading a loss
/// waits for the device.
class LossWatch {
 public:
  /// Keeps `optimizers`, whose learning rate the warning tells; it must outlive this object.
  LossWatch(const LoopParts& parts, const Optimizers& optimizers)
      : run_(parts.run), optimizers_(optimizers), every_(parts.options.log_every_n_steps) {}

  /// Whether to look after the step with which `steps` steps are done.
  bool is_due(int64_t steps) const { return !first_ || (every_ > 0 && steps % every_ == 0); }
  /// Looks at a loss, a scalar; an undefined one, of a batch that was skipped, is passed over.
  void look(const torch::Tensor& loss);

 private:
  RunControl& run_;
  const Optimizers& optimizers_;
  int64_t every_;
  std::optional<double> first_;  // the absolute value of the first loss
  bool has_warned_ = false;
};

}  // namespace levin
