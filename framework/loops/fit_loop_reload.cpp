#include <levin/framework/loops/fit_loop.h>

#include <levin/framework/core/error.h>

// How a fit goes on with other loaders: reload_dataloaders_every_n_epochs.

namespace levin {

void FitLoop::set_reload(Reload reload, int64_t epoch) {
  reload_ = std::move(reload);
  loaded_epoch_ = epoch;
  if (!solver_fit_ || parts_.options.reload_dataloaders_every_n_epochs == 0) return;
  throw ConfigError::conflict(
      "reload_dataloaders_every_n_epochs with a solver, which reads the same rows in each "
      "iteration",
      "set it to 0, or use an optimizer that trains on batches");
}

/// Asks for other loaders if they are due before this epoch.
void FitLoop::reload_loaders() {
  const int64_t every = parts_.options.reload_dataloaders_every_n_epochs;
  Progress& progress = parts_.run.progress();
  const bool is_due = every > 0 && progress.batch == 0 && progress.epoch % every == 0;
  if (!is_due || !reload_ || progress.epoch == loaded_epoch_) return;
  auto [train, val] = reload_(progress.epoch);
  loaded_epoch_ = progress.epoch;
  num_batches_ = num_training_batches(parts_, train);
  data_ = TrainingData(train, parts_.strategy.rank_share(), num_batches_);
  validation_.set_loaders(std::move(val), num_batches_);
  progress.num_batches = num_batches_;
  progress.has_validation = validation_.has_batches();
  captured_step_.begin_data();
  has_placed_data_ = false;
}

}  // namespace levin
