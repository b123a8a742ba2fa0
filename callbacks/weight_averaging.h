#pragma once

#include <cstdint>

#include <levin/callbacks/averaged_weights.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of WeightAveraging.
struct WeightAveragingOptions {
  /// Average the buffers, too, such as the statistics of batch norms. If not, the average has the
  /// buffers that the module had when the average was updated last.
  bool use_buffers = true;
};

/// Describes the options for YAML files and `--help`.
Fields describe(WeightAveragingOptions& options);

/// Keeps the mean of the weights after each optimizer step beside the module. Validation, tests and
/// predictions use it, checkpoints have it as the module's weights, and the module has it when
/// training has ended. Lightning: WeightAveraging.
///
///     trainer.add<levin::WeightAveraging>();
///
/// A checkpoint also has the weights that training goes on from, and a resumed fit ends with the
/// same bits as one that was never interrupted. A fit that doesn't resume begins a new average.
/// Callbacks that watch a validation, such as EarlyStopping with restore_best_weights, find the
/// averaged weights in the module. A fit with two callbacks that average throws ConfigError.
///
/// To average other moments, or with other weights, derive from it and override `updates_after_*`
/// and `share`. An update costs one pass over the weights, which take their memory twice. With a
/// solver or an online learner, which don't step by batches, the fit throws ConfigError; so it does
/// if several ranks train alone (TrainerOptions::model_averaging), whose weights differ, or if the
/// model is divided among ranks.
class WeightAveraging : public Callback {
 public:
  using Options = WeightAveragingOptions;
  explicit WeightAveraging(WeightAveragingOptions options = {}) : options_(options) {}

  /// How many times the average was updated in this fit.
  int64_t updates() const { return average_.count(); }

  Order order() const override { return Order::weights; }
  std::string sole_task() const override { return kAveragesWeights; }
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  /// Updates the average after an optimizer step, and at the end of an epoch.
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;
  /// Lends the average to the module for a validation within the fit.
  void on_validation_start(Run& run) override;
  void on_validation_end(Run& run) override;
  /// Leaves the average in the module.
  void on_train_end(Run& run) override;
  void on_exception(const std::exception& error, Run& run) override;
  /// Makes the average the weights of the checkpoint's module.
  void on_save_checkpoint(StateDict& checkpoint, Run& run) override;

 protected:
  /// Whether the average is updated after the optimizer step with this number, counted from 0 over
  /// all epochs. By default it is after every step.
  virtual bool updates_after_step(int64_t /*step*/) const { return true; }
  /// Whether it is updated at the end of this epoch, counted from 0, unless it was after the
  /// epoch's last step, and unless the fit ends within the epoch. By default it isn't.
  virtual bool updates_after_epoch(int64_t /*epoch*/) const { return false; }
  /// The share of the new weights in the average if it has been updated `count` times before, at
  /// least once. By default all moments have the same share.
  virtual double share(int64_t count) const { return 1.0 / static_cast<double>(count + 1); }

 private:
  void update(int64_t global_step);
  void exchange();

  WeightAveragingOptions options_;
  AveragedWeights average_;
  int64_t last_step_ = -1;   // the number of steps that were done at the last update, or looked at
  int64_t updated_at_ = -1;  // the same, at the last update
  bool fitting_ = false;     // between on_fit_start and on_train_end
  bool is_exchanged_ = false;  // the module has the average, and `average_` what it had
  bool resumed_ = false;
};

}  // namespace levin
