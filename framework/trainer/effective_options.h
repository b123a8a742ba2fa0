#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Returns `options` with fast_dev_run and overfit_batches worked into the options that loops read,
/// so that nothing else has to know of the two. fast_dev_run sets max_epochs, max_steps, the limits
/// of batches, and when validation takes place; overfit_batches sets limit_train_batches and
/// limit_val_batches. Throws ConfigError if an option is invalid or excludes another.
TrainerOptions effective_options(TrainerOptions options);

}  // namespace levin
