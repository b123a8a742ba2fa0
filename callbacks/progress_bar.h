#pragma once

#include <levin/callbacks/progress_bar_options.h>
#include <levin/callbacks/progress_display.h>
#include <levin/framework/run/callback.h>

#include <cstdio>

namespace levin {

/// Shows the progress of a run: on a terminal as a line that is updated in place, in a file as
/// plain lines without control codes. A terminal that calls itself "dumb" (TERM) counts as a file.
/// Lightning: ProgressBar.
///
///     Epoch 3/19  64%|############        | 120/188 [00:01<00:00, 95.1 it/s] train_loss=0.432
///
/// The line shows the batches done and their total, the time spent and left, the batches per second
/// (smoothed over the last updates, without the time of validations), and the metrics that were
/// logged with `prog_bar`. These are read only when a line is written, because reading may have to
/// wait for a device. Only rank 0 writes.
///
///     trainer.add<levin::ProgressBar>({.plain_interval = 60});  // for a long run's log file
///
/// A batch without a new line costs a comparison and, every `refresh_rate` batches, a look at the
/// clock.
class ProgressBar : public Callback {
 public:
  using Options = ProgressBarOptions;
  /// Writes to stderr, and updates the line in place if that is a terminal. Throws ConfigError if
  /// `refresh_rate` is negative; the other constructor does, too.
  explicit ProgressBar(ProgressBarOptions options = {});
  /// Writes to `out`, which the caller keeps open. If `live`, the line is updated in place and cut
  /// to `width` columns; with 0, to the width of the terminal.
  ProgressBar(ProgressBarOptions options, std::FILE* out, bool live, int width = 0);

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
