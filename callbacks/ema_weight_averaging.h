#pragma once

#include <cstdint>
#include <optional>

#include <levin/callbacks/weight_averaging.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of EMAWeightAveraging. Names, meanings and defaults are Lightning's.
struct EMAWeightAveragingOptions {
  /// The share of the old average in the new one, from 0 to below 1.
  double decay = 0.999;
  /// Average the buffers, too.
  bool use_buffers = true;
  /// Update the average after each step whose number, counted from 0, is a multiple of this; 0:
  /// after no step.
  int64_t update_every_n_steps = 1;
  /// The number of the first step, counted from 0, after which the average may be updated.
  std::optional<int64_t> update_starting_at_step{};
  /// The first epoch, counted from 0, at the end of which the average is updated, as at that of all
  /// later ones. By default epochs don't matter.
  std::optional<int64_t> update_starting_at_epoch{};
};

/// Describes the options for YAML files and `--help`.
Fields describe(EMAWeightAveragingOptions& options);

/// Keeps an exponential moving average of the weights: `decay * average + (1 - decay) * weights`.
/// All else is as in WeightAveraging. Lightning: EMAWeightAveraging.
///
///     trainer.add<levin::EMAWeightAveraging>({.decay = 0.99});
class EMAWeightAveraging : public WeightAveraging {
 public:
  using Options = EMAWeightAveragingOptions;
  /// Throws ConfigError if the decay or a number is out of range, or if the options never update.
  explicit EMAWeightAveraging(EMAWeightAveragingOptions options = {});

 protected:
  bool updates_after_step(int64_t step) const override;
  bool updates_after_epoch(int64_t epoch) const override;
  double share(int64_t /*count*/) const override { return 1.0 - options_.decay; }

 private:
  EMAWeightAveragingOptions options_;
};

}  // namespace levin
