#pragma once

#include <optional>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Warns once if the loss of a fit explodes: it is NaN or infinite, or it has risen to more than a
/// thousand times the absolute value of the first loss. Training goes on; the EarlyStopping
/// callback can end it.
///
///     LossWatch watch(parts, optimizers);
///     watch.look(training_step.loss(), /*may_wait=*/loggers_get_a_row);
///
/// The loop lets it look every log_every_n_steps steps, and at the end of epochs. Reading a loss
/// that isn't on the CPU waits for its device; the loop allows that only at the first step, at the
/// end of epochs, and when the loggers get a row, for which the device is waited for anyway. Only
/// rank 0 looks.
class LossWatch {
 public:
  /// Keeps `optimizers`, whose learning rate the warning tells; it must outlive this object.
  LossWatch(const LoopParts& parts, const Optimizers& optimizers)
      : run_(parts.run), optimizers_(optimizers), is_done_(!parts.run.is_global_zero()) {}

  /// Whether it has yet to look at a loss.
  bool has_seen_none() const { return !first_ && !is_done_; }
  /// Looks at a loss, a scalar; an undefined one, of a batch that was skipped, is passed over, and
  /// so is one that has to be waited for unless `may_wait`.
  void look(const torch::Tensor& loss, bool may_wait);

 private:
  RunControl& run_;
  const Optimizers& optimizers_;
  std::optional<double> first_;  // the first loss that is finite
  bool is_done_;                 // it has warned, or this isn't rank 0
};

}  // namespace levin
