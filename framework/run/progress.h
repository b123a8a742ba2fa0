#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/core/stage.h>

namespace levin {

/// Where a run is, in numbers that the loops keep up to date. Callbacks and modules read it through
/// Run::progress.
struct Progress {
  Stage stage = Stage::fit;
  /// The number of epochs completed, which is also the number, from 0, of the one in progress.
  int64_t epoch = 0;
  /// The number of optimizer steps done.
  int64_t global_step = 0;
  /// The optimizer steps of the fit that were left out because gradients weren't finite, with
  /// precision = 16-mixed.
  int64_t skipped_steps = 0;
  /// The number of batches of this epoch (or evaluation) that are done.
  int64_t batch = 0;
  /// The number of batches of an epoch (or evaluation); nothing if it isn't known in advance.
  std::optional<int64_t> num_batches{};
  /// The limits of this fit; nothing if there is none.
  std::optional<int64_t> max_epochs{};
  std::optional<int64_t> max_steps{};
  /// The epochs and steps before which neither a callback nor max_time ends this fit.
  int64_t min_epochs = 0;
  int64_t min_steps = 0;
  /// The number of batches whose gradients make one optimizer step.
  int64_t accumulate = 1;
  /// Whether this fit validates. If not, metrics that the first epoch doesn't log never come.
  bool has_validation = true;
  /// Whether the epoch has further batches, as far as that is known: in on_train_epoch_end, whether
  /// training ends within the epoch.
  bool has_batches_left() const { return num_batches && batch < *num_batches; }
  bool sanity_checking() const { return stage == Stage::sanity_check; }
  /// Whether a callback may end the fit by now.
  bool minima_are_met() const { return epoch >= min_epochs && global_step >= min_steps; }
};

/// The number of optimizer steps that a fit with this progress will make: those of max_epochs, but
/// at most max_steps. Nothing if neither is known.
std::optional<int64_t> estimated_steps(const Progress& progress);

}  // namespace levin
