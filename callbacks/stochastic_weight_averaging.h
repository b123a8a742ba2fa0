#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <levin/callbacks/averaged_weights.h>
#include <levin/callbacks/swa_rates.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of StochasticWeightAveraging. Names, meanings and defaults are Lightning's.
struct StochasticWeightAveragingOptions {
  /// The learning rate of the averaging phase: one for all parameter groups, or one for each.
  /// Required.
  std::vector<double> swa_lrs{};
  /// When the averaging phase begins: an int n means the n-th epoch, a float that share of
  /// max_epochs.
  CountOrFraction swa_epoch_start = 0.8;
  /// The number of epochs in which the learning rate goes from what it was to that of the phase.
  int64_t annealing_epochs = 10;
  /// How it gets there: "cos" or "linear".
  std::string annealing_strategy = "cos";
  /// Where the average is kept, such as "cpu" to save memory of a GPU. By default with the module.
  std::string device{};
};

/// Describes the options for YAML files and `--help`.
Fields describe(StochasticWeightAveragingOptions& options);
/// Throws ConfigError if an option is out of range.
void validate(const StochasticWeightAveragingOptions& options);

/// Stochastic weight averaging: in the last part of training, the learning rate goes to a constant
/// one and the weights at the end of each epoch are averaged; when training ends, the module has
/// the average. Lightning: StochasticWeightAveraging. Source: Izmailov et al. 2018,
/// arXiv:1803.05407.
///
///     trainer.add<levin::StochasticWeightAveraging>({.swa_lrs = {0.05}});
///
/// Schedulers don't count any more once the phase has begun. If the module has batch norms, their
/// statistics are computed anew for the averaged weights, by a pass over the training data
/// (update_batch_norms). Validations within fit see the weights that are trained; validate after
/// fit to see the average, unlike with WeightAveraging. Unlike in Lightning, the weights after the
/// last epoch count, too, and no epoch is added for batch norms.
///
/// A fit that was interrupted leaves the trained weights in the module. A resumed fit ends with the
/// same bits as one that was never interrupted. With a solver or an online learner, the fit throws
/// ConfigError.
class StochasticWeightAveraging : public Callback {
 public:
  using Options = StochasticWeightAveragingOptions;
  /// Throws ConfigError for a rate that isn't positive, none at all, or an option out of range.
  explicit StochasticWeightAveraging(StochasticWeightAveragingOptions options = {});

  /// Makes `average` compute the new average of each tensor, instead of the mean: from the old one,
  /// the module's and the number of those averaged so far, at least 1. Lightning: avg_fn.
  ///
  ///     swa.set_avg_fn([](const auto& old, const auto& own, int64_t) { return 0.9 * old + 0.1 *
  ///     own; });
  using AvgFn = std::function<torch::Tensor(const torch::Tensor& average, const torch::Tensor& own,
                                            int64_t num_averaged)>;
  void set_avg_fn(AvgFn average) { avg_fn_ = std::move(average); }
  /// How many epochs' weights the average has.
  int64_t updates() const { return average_.count(); }

  std::string sole_task() const override { return kAveragesWeights; }
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  // The learning rate is set at the beginning of each epoch of the phase, and again if a scheduler
  // has changed it after a step.
  void on_train_epoch_start(Run& run) override;
  void on_train_batch_start(const Batch& batch, Step& step) override;
  /// Adds the epoch's weights to the average, unless training ends within the epoch.
  void on_train_epoch_end(Run& run) override;
  /// Puts the average into the module.
  void on_train_end(Run& run) override;
  void on_save_checkpoint(StateDict& checkpoint, Run& run) override;

 private:
  StochasticWeightAveragingOptions options_;
  AveragedWeights average_;
  AvgFn avg_fn_;  // empty: the mean
  int64_t first_epoch_ = 0;
  SwaRates rates_;
  bool is_exchanged_ = false;  // the module has the average, and `average_` what it had
  bool resumed_ = false;
};

}  // namespace levin
