#pragma once

#include <levin/callbacks/progress_bar_options.h>
#include <levin/callbacks/progress_display.h>
#include <levin/framework/run/callback.h>

#include <cstdio>

namespace levin {

/// Shows the progress of a run: on a terminal as lines that are updated in place, in a file or pipe
/// as plain lines without control codes. Which of them, and whether there are colors and characters
/// outside ASCII, is what terminal_of says. Lightning: ProgressBar.
///
///     Epoch 3/19  64%|#######     | 120/188 [00:01<00:00, 95.1 it/s] train_loss=0.432 loss #*=-:..
///       Validation  50%|######      | 10/20 [00:00<00:00, 210 it/s]
///
/// The line shows the batches done and their total, the time spent and left, the batches per second
/// (smoothed over the last updates, without the time of validations), and the metrics that were
/// logged with `prog_bar`. On a terminal, a validation within training has a line below, and if the
/// terminal is wide enough, the curve of the losses of `training_step` since the fit began ends the
/// line. Metrics and losses are read only when a line is written, because reading may have to wait
/// for a device. Only rank 0 writes.
///
///     trainer.add<levin::ProgressBar>({.plain_interval = 60});  // for a long run's log file
///
/// A batch without a new line costs a comparison and, every `refresh_rate` batches, a look at the
/// clock.
class ProgressBar : public Callback {
 public:
  using Options = ProgressBarOptions;
  /// Writes to stderr. Throws ConfigError if
  /// `refresh_rate` is negative; the other constructor does, too.
  explicit ProgressBar(ProgressBarOptions options = {});
  /// Writes to `out`, which the caller keeps open, in the way that `terminal` allows.
  ProgressBar(ProgressBarOptions options, std::FILE* out, const Terminal& terminal);

  /// Runs after the other callbacks and the module, so that the last line of an epoch shows
  /// everything that was logged.
  Order order() const override { return Order::monitor; }

  // Training: one line for each epoch.
  void setup(Stage stage, Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_epoch_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  // Validation, test and prediction: one line for each. The line of a validation within training is
  // overwritten on a terminal and isn't written to a file unless it takes long.
  void on_validation_start(Run& run) override;
  void on_validation_batch_end(const Batch& batch, Step& step) override;
  void on_validation_end(Run& run) override;
  void on_test_start(Run& run) override;
  void on_test_batch_end(const Batch& batch, Step& step) override;
  void on_test_end(Run& run) override;
  void on_predict_start(Run& run) override;
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override;
  void on_predict_end(Run& run) override;
  /// Ends the line, so that the error message begins a new one.
  void on_exception(const std::exception& error, Run& run) override;

 private:
  void advance_evaluation(Step& step);
  void end_evaluation(Run& run);

  ProgressBarOptions options_;
  ProgressDisplay display_;
  bool enabled_ = true;     // false on ranks above 0, and if refresh_rate is 0
  bool training_ = false;   // a validation now is one within training
  double paused_at_ = 0.0;  // when the validation within training began
  ProgressPass train_;
  ProgressPass evaluation_;
};

}  // namespace levin
