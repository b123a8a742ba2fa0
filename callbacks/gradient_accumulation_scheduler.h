#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <map>
#include <string>

namespace levin {

/// Options of GradientAccumulationScheduler.
struct GradientAccumulationSchedulerOptions {
  /// The epochs (from 0) in which the number of batches for each optimizer step changes, each with
  /// the new number. "4:2, 8:4" means 1 batch in epochs 0 to 3, 2 batches in epochs 4 to 7, and 4
  /// batches from epoch 8 on. Required.
  std::string scheduling{};
};

/// Describes the options for YAML files and `--help`.
Fields describe(GradientAccumulationSchedulerOptions& options);

/// Changes the number of batches for each optimizer step from epoch to epoch: the gradients of that
/// many batches are accumulated before the optimizer's step. The Trainer's
/// `accumulate_grad_batches` has no effect then, and a warning says so if it is set. Lightning:
/// GradientAccumulationScheduler.
///
///     trainer.add<levin::GradientAccumulationScheduler>({.scheduling = "4:2, 8:4"});
class GradientAccumulationScheduler : public Callback {
 public:
  using Options = GradientAccumulationSchedulerOptions;
  /// Throws ConfigError if `scheduling` isn't a list like that, names an epoch twice or below 0, or
  /// has a number of batches below 1.
  explicit GradientAccumulationScheduler(GradientAccumulationSchedulerOptions options = {});

  /// Returns the number of batches for each optimizer step in the epoch, counted from 0; 1 before
  /// the first epoch that is listed.
  int64_t accumulation(int64_t epoch) const;

  // A change takes effect at the beginning of an epoch, never within a step.
  void on_train_start(Run& run) override;
  void on_train_epoch_end(Run& run) override;

 private:
  /// Asks the run for the number that applies in the epoch, unless it is in use already.
  void ask(Run& run, int64_t epoch) const;

  std::map<int64_t, int64_t> scheduling_;  // first epoch -> batches for each step
};

}  // namespace levin
