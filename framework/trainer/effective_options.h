#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Returns `options` with the limits and intervals that fast_dev_run and overfit_batches imply.
/// fast_dev_run sets max_epochs, max_steps, the limits of batches, and when validation takes place;
/// overfit_batches sets limit_train_batches and limit_val_batches. (That fast_dev_run saves and
/// logs nothing, and that overfit_batches doesn't shuffle, is the Trainer's work.) Throws
/// ConfigError if an option is invalid or excludes another.
TrainerOptions effective_options(TrainerOptions options);

}  // namespace levin
