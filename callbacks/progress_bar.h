#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace levin {

struct ProgressBarOptions {
  /// Batches between looks at the clock; 0: no progress bar. Lightning: refresh_rate.
  int64_t refresh_rate = 1;
  /// Seconds that a drawn line stays at least, on a terminal.
  double refresh_interval = 0.1;
  /// Seconds between lines within an epoch, in a file; 0: only a line an epoch.
  double plain_interval = 10.0;
  /// On a terminal, leave each epoch's last line instead of drawing the next epoch over it.
  bool leave = false;
};

Fields describe(ProgressBarOptions& options);

/// Shows how far a run is: a live line on a terminal, plain lines without control codes in a file.
/// Lightning: ProgressBar.
///
///     Epoch 3/19  64%|############        | 120/188 [00:01<00:00, 95.1 it/s] train_loss=0.432
///
/// The rate is smoothed over the last few draws, the time left follows from it; validation within
/// training doesn't count. Metrics logged with `prog_bar` are read only when a line is written.
class ProgressBar : public Callback {
 public:
  using Options = ProgressBarOptions;
  /// Writes to stderr; live where that is a terminal.
  explicit ProgressBar(ProgressBarOptions options = {});
  /// Writes to `out`; `live` lines are cut to `width` columns (0: the terminal's).
  ProgressBar(ProgressBarOptions options, std::FILE* out, bool live, int width = 0);

  /// Late, so that a finished epoch's line shows what everybody logged.
  Order order() const override { return Order::monitor; }
  std::string state_key() const override { return "ProgressBar"; }

  void setup(Stage stage, Run& run) override;
  void on_train_start(Run& run) override;
  void on_train_epoch_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;
  void on_validation_start(Run& run) override;
  void on_validation_batch_end(const Batch& batch, Step& step) override;
  void on_validation_end(Run& run) override;
  void on_test_start(Run& run) override;
  void on_test_batch_end(const Batch& batch, Step& step) override;
  void on_test_end(Run& run) override;
  void on_predict_start(Run& run) override;
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override;
  void on_predict_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;

 private:
  /// One pass over data.
  struct Pass {
    std::string label;
    int64_t first = 0;  // batches done when it began here: above 0 after a resume
    int64_t done = 0;
    double start = 0.0;  // on the monotonic clock; moved on by pauses
    double rate = 0.0;   // batches a second, smoothed
    double drawn_at = 0.0;
    int64_t drawn_done = 0;
  };

  void begin(Pass& pass, std::string label, int64_t done);
  /// Called for every batch: decides cheaply whether to write a line.
  void advance(Pass& pass, int64_t done, Run& run);
  void write_line(Pass& pass, Run& run, double now, bool is_last);
  void update_rate(Pass& pass, double now);
  std::string line(const Pass& pass, Run& run, double now, bool is_last) const;
  std::string metrics(Run& run) const;
  void end_live_line();
  int columns() const;

  ProgressBarOptions options_;
  std::FILE* out_;
  bool live_;
  int width_;
  bool enabled_ = true;
  bool training_ = false;
  bool line_open_ = false;  // the cursor stands on a live line
  int64_t batches_to_look_ = 0;
  double next_line_ = 0.0;
  double paused_at_ = 0.0;
  Pass train_;
  Pass evaluation_;
};

}  // namespace levin
