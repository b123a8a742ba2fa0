#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/trainer/fit_tuner.h>

namespace levin {

/// Options of BatchSizeFinder: those of scale_batch_size (tuner.h). Names and defaults are
/// Lightning's.
using BatchSizeFinderOptions = ScaleBatchSizeOptions;

/// Finds the largest batch size with which training doesn't run out of memory, before the first
/// epoch, and trains with it. Lightning: BatchSizeFinder.
///
///     auto& finder = trainer.add<levin::BatchSizeFinder>({.mode = "binsearch"});
///     trainer.fit(model, data);
///     finder.batch_size();   // what was found
///
/// The trials are scale_batch_size (tuner.h) and leave everything as it was: the fit has the bits
/// of one whose training loaders were given the size. Validation keeps its batches, and the data
/// module its own setting. A size is worth remembering on one kind of device; on the CPU, memory is
/// rarely what limits it, so set `max_val`. The size is printed, and the loggers get it among their
/// settings, as "tuned/batch_size".
///
/// A fit that resumes goes on with the size of its checkpoint, and a fast_dev_run takes the one
/// that was set: neither tries anything. Several ranks find the size that fits on each of them.
/// What scale_batch_size throws ends the fit. It looks at training only; other stages don't use it.
class BatchSizeFinder : public Callback, public FitTuner {
 public:
  using Options = BatchSizeFinderOptions;
  explicit BatchSizeFinder(BatchSizeFinderOptions options = {}) : options_(std::move(options)) {}

  /// What was found, in rows on each device, also in the fit that a resumed one goes on with;
  /// nothing before that.
  std::optional<int64_t> batch_size() const { return batch_size_; }

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  void tune(const FitToTune& fit, TunedSettings& tuned) override;

 private:
  BatchSizeFinderOptions options_;
  std::optional<int64_t> batch_size_;
};

}  // namespace levin
