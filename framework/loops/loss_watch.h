#pragma once

#include <optional>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Warns once if the loss of a fit explodes: it is NaN or infinite, or more than a thousand times
/// as large as at the beginning. Training goes on; the EarlyStopping callback can end it.
///
///     LossWatch watch(parts, optimizers);
///     if (loggers_get_a_row || watch.has_seen_none()) watch.look(training_step.loss());
///
/// Reading a loss waits for its device. The loop therefore lets it look only at the first step,
/// when the loggers get a row, for which the device is waited for anyway, and at the end of epochs.
/// Only rank 0 looks.
class LossWatch {
 public:
  /// Keeps `optimizers`, whose learning rate the warning tells; it must outlive this object.
  LossWatch(const LoopParts& parts, const Optimizers& optimizers)
      : run_(parts.run), optimizers_(optimizers), is_done_(!parts.run.is_global_zero()) {}

  /// Whether it has yet to look at a loss.
  bool has_seen_none() const { return !first_ && !is_done_; }
  /// Looks at a loss, a scalar; an undefined one, of a batch that was skipped, is passed over.
  void look(const torch::Tensor& loss);

 private:
  RunControl& run_;
  const Optimizers& optimizers_;
  std::optional<double> first_;  // the absolute value of the first loss
  bool is_done_;                 // it has warned, or this isn't rank 0
};

}  // namespace levin
