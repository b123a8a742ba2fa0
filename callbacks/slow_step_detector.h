#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of SlowStepDetector.
struct SlowStepDetectorOptions {
  /// A batch is slow if it takes more than this multiple of the median of those before it.
  double factor = 5.0;
  /// The number of batches of which the median is taken; nothing is slow before there are as many.
  int64_t window = 50;
  /// The most slow batches that are named in a fit.
  int64_t most = 10;
};

/// Describes the options for YAML files and `--help`.
Fields describe(SlowStepDetectorOptions& options);

/// Warns of batches that take much longer than the others, and says whether the time went into
/// waiting for data or into the step. TorchTNT has SlowRankDetector for ranks.
///
///     trainer.add<levin::SlowStepDetector>({.factor = 3.0});
///
///     warning: slow step: batch 311 of epoch 2 took 2.4 s, 48 times the usual 0.05 s; 2.35 s of it
///     were spent before the step, waiting for data
///
/// Validations, checkpoints and what other callbacks do at the end of an epoch don't count. The
/// time is that of the host, which follows a GPU if something in each step waits for it.
class SlowStepDetector : public Callback {
 public:
  using Options = SlowStepDetectorOptions;
  /// Throws ConfigError for an option that is out of range.
  explicit SlowStepDetector(SlowStepDetectorOptions options = {});

  /// How many batches of this fit were slow.
  int64_t slow() const { return slow_; }

  void on_train_start(Run& run) override;
  void on_train_epoch_start(Run& run) override;
  void on_train_batch_start(const Batch& batch, Step& step) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_validation_end(Run& run) override;
  void on_save_checkpoint(StateDict& checkpoint, Run& run) override;
  void on_train_end(Run& run) override;

 private:
  void look(double waited, double stepped, Step& step);

  SlowStepDetectorOptions options_;
  std::vector<double> seconds_;  // a ring of the last `window` batches
  size_t next_ = 0;
  double ended_ = -1.0;  // when the last batch ended; negative: something else came after it
  double began_ = 0.0;
  int64_t slow_ = 0;
};

}  // namespace levin
