#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/trainer/tuner.h>

namespace levin {

/// Settings of a fit that were found by trying. What is empty stays as the user has set it.
struct TunedSettings {
  /// The learning rate of the first parameter group; other groups keep their ratios to it.
  std::optional<double> learning_rate{};
  /// Rows of a training step on each device. Validation keeps the batches that it has.
  std::optional<int64_t> batch_size{};

  bool empty() const { return !learning_rate && !batch_size; }
};

/// The same as an object of a checkpoint or of the loggers' settings, and back; settings that are
/// missing stay empty.
Value to_value(const TunedSettings& tuned);
TunedSettings tuned_from_value(const Value& value);

/// A fit that is about to begin, as FitTuner gets it.
struct FitToTune {
  const TrainerOptions& options;
  Module& module;
  /// The training data of the fit. A tuner gets them as a data module that is set up already, which
  /// trials neither set up again nor end.
  DataModule& data;
  const OptimizersFactory& optimizers;
  Run& run;
};

/// A callback that finds settings of a fit by trying, before the fit begins. The Trainer calls it
/// when data and layers are there and before it makes the optimizers, but neither in a fit that
/// resumes, which goes on with the settings of its checkpoint, nor with fast_dev_run. A callback
/// that is one keeps what it has found in its state, under the names of TunedSettings.
class FitTuner {
 public:
  virtual ~FitTuner() = default;
  /// Finds settings, by trials that leave everything as it was (tuner.h), and puts them into
  /// `tuned`, which has those of the callbacks before. Called on every rank; all have to find the
  /// same.
  virtual void tune(const FitToTune& fit, TunedSettings& tuned) = 0;
};

/// Lets the tuners among the callbacks find the settings of a fit, one after another; each tries
/// with what those before it have found. `fit.data` is the fit's own data module, and `train` are
/// the loaders that it gave.
TunedSettings tune_fit(const std::vector<Callback*>& callbacks, const FitToTune& fit,
                       const DataLoaders& train);

/// Returns what the tuners among the callbacks had found in the fit that wrote `checkpoint`.
TunedSettings tuned_before(const std::vector<Callback*>& callbacks, const StateDict& checkpoint);

/// Gives the first group of each optimizer this learning rate, from which schedulers start, and
/// other groups one in their former ratio to it.
void use_learning_rate(Optimizers& optimizers, double learning_rate);

}  // namespace levin
