#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <map>
#include <string>

namespace levin {

struct GradientAccumulationSchedulerOptions {
  /// From which epoch on how many batches make a step: "4:2, 8:4" is 1 up to epoch 3, 2 up to epoch
  /// 7, then 4. Has to be given.
  std::string scheduling{};
};

Fields describe(GradientAccumulationSchedulerOptions& options);

/// Changes accumulate_grad_batches with the epoch. Lightning: GradientAccumulationScheduler.
class GradientAccumulationScheduler : public Callback {
 public:
  using Options = GradientAccumulationSchedulerOptions;
  /// Throws ConfigError for text that isn't such a list, negative epochs or numbers below 1.
  explicit GradientAccumulationScheduler(GradientAccumulationSchedulerOptions options = {});

  /// How many batches make a step in `epoch`.
  int64_t accumulation(int64_t epoch) const;

  std::string state_key() const override { return "GradientAccumulationScheduler"; }
  void on_train_start(Run& run) override;
  void on_train_epoch_end(Run& run) override;

 private:
  void ask(Run& run, int64_t epoch) const;

  std::map<int64_t, int64_t> scheduling_;  // first epoch -> batches
};

}  // namespace levin
