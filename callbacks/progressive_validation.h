#pragma once

#include <cstdint>

#include <levin/callbacks/progressive_schedule.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of ProgressiveValidation.
struct ProgressiveValidationOptions {
  /// Print a line each time that this many more rows were trained on. 0: after 1, 2, 4, 8 ... rows.
  int64_t every_n_rows = 0;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ProgressiveValidationOptions& options);

/// Prints the loss of rows that the model hadn't learned from yet, as Vowpal Wabbit does: the mean
/// over all rows of the fit so far, and over those since the last line.
///
///     average    since          rows
///     loss       last        counted
///     0.693147   0.693147          1
///     0.672314   0.651481          2
///
/// It is what `training_step` returns, which is computed before the step, and with an online
/// learner (OnlineSGD, OnlineAdagrad, FTRL) the loss of each row before it was learned from. In one
/// pass over the data it therefore says how good the model is on new rows, without any rows being
/// held out. Other modules' losses include their penalties.
///
/// Losses are known for whole batches: a line is printed after the batch with which the number of
/// its rows is reached, and has all rows of the batch. With several ranks, a line counts the rows
/// of all of them, and those of ranks that share a model once. The average is logged as
/// "progressive_loss" at the end of each epoch. A resumed fit goes on counting; if it had several
/// ranks and was saved within an epoch, without the rows that ranks other than 0 had since the last
/// line.
class ProgressiveValidation : public Callback {
 public:
  using Options = ProgressiveValidationOptions;
  /// Throws ConfigError for a negative every_n_rows.
  explicit ProgressiveValidation(ProgressiveValidationOptions options = {});

  /// The number of rows, and their mean loss, as of the last line or the end of the last epoch.
  int64_t rows() const { return static_cast<int64_t>(all_.rows); }
  double average() const { return all_.rows > 0.0 ? all_.sum / all_.rows : 0.0; }

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  void on_train_end(Run& run) override;

 private:
  /// Some rows and the sum of their losses.
  struct Losses {
    double rows = 0.0;
    double sum = 0.0;
  };
  void collect(Run& run);
  void print_line(Run& run);

  ProgressiveValidationOptions options_;
  ProgressiveSchedule schedule_;
  Losses own_;            // of this rank, since `collect` was called last
  Losses all_;            // of all ranks up to then
  Losses printed_;        // of all ranks as of the last line
  double largest_ = 0.0;  // the most rows that a batch had over all ranks
  double own_largest_ = 0.0;
  torch::Tensor on_device_;  // losses that are still on a device
  bool has_header_ = false;
  bool resumed_ = false;
};

}  // namespace levin
