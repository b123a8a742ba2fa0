#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// What `Trainer::fit` returns: the metrics of each epoch, and why training ended.
///
///     const levin::History history = trainer.fit(model, data);
///     std::printf("%zu epochs, val_loss %.4f\n", history.epochs.size(), history.last("val_loss"));
struct History {
  /// The metrics that were logged in one epoch, those of its validation included.
  struct Epoch {
    /// The epoch's number, from 0.
    int64_t epoch = 0;
    /// The number of optimizer steps done by the end of the epoch.
    int64_t global_step = 0;
    MetricMap metrics;
  };
  /// The epochs in order. After a resume, the epochs before it are included.
  std::vector<Epoch> epochs;
  /// The reason given to `Run::stop`, or "max_epochs", "max_steps" and so on: Stopping::reason
  /// (framework/loops/stopping.h) lists them.
  std::string stop_reason;
  /// True if a signal such as Ctrl-C ended training.
  bool interrupted = false;

  /// Returns one metric, a value for each epoch. Epochs that don't have the metric give NaN.
  std::vector<double> values(std::string_view metric) const;
  /// Returns the metric of the last epoch that has it. Throws ModuleError, with the names of all
  /// metrics, if no epoch has it.
  double last(std::string_view metric) const;

  /// The epochs as checkpoints keep them, without stop_reason and interrupted. `load_state_dict`
  /// replaces the epochs, and throws CheckpointError if the state isn't of this form.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
};

}  // namespace levin
