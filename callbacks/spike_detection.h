#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of SpikeDetection. Names, meanings and defaults are Lightning's, except `action`.
struct SpikeDetectionOptions {
  /// "min" if a smaller loss is better, "max" if a larger one is.
  std::string mode = "min";
  /// The number of batches over which the running mean is taken.
  int64_t window = 10;
  /// The number of batches at the beginning of each epoch in which nothing counts as a spike.
  int64_t warmup = 1;
  /// A spike is at least that far from the running mean. By default any distance will do.
  std::optional<double> atol{};
  /// A spike is at least that multiple of the running mean away from it. Null: any distance.
  std::optional<double> rtol = 2.0;
  /// Take a NaN or infinite loss for a spike.
  bool finite_only = true;
  /// What follows: "stop" ends training, "warn" goes on.
  std::string action = "stop";
};

/// Describes the options for YAML files and `--help`.
Fields describe(SpikeDetectionOptions& options);
/// Throws ConfigError if an option is out of range.
void validate(const SpikeDetectionOptions& options);

/// Watches the loss of each batch, and acts if it is far worse than the mean of the last ones.
/// Lightning: SpikeDetection.
///
///     trainer.add<levin::SpikeDetection>({.window = 50, .action = "warn"});
///
/// A warning names each spike, and `spikes.json` in the run's folder has them all, with the numbers
/// of their rows, so that these can be looked at and left out:
///
///     [{"epoch":0,"batch":17,"loss":92.1,"mean":1.3,"rows":[1088,1089, ... ]}]
///
/// Each rank watches the losses of its own rows, and all of them stop if one of them does; the file
/// has those of rank 0. The loss of a spike doesn't count for the mean. A resumed run has the same
/// mean and spikes. Reading the loss of each batch waits for the device, if the loss is on one.
class SpikeDetection : public Callback {
 public:
  using Options = SpikeDetectionOptions;
  /// Throws ConfigError for an option that is out of range.
  explicit SpikeDetection(SpikeDetectionOptions options = {});

  /// How many spikes there were in this fit.
  size_t spikes() const { return spikes_.size(); }

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;

 private:
  bool is_spike(double loss, int64_t batch) const;
  double mean() const;
  void keep(double loss, const Batch& batch, Step& step);

  SpikeDetectionOptions options_;
  std::vector<double> recent_;  // at most `window`, the oldest first
  Value::Array spikes_;
  bool resumed_ = false;
};

}  // namespace levin
