#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Checks `options`, and returns them with the meaning of fast_dev_run and overfit_batches put into
/// the other options: limits, intervals and so on. Throws ConfigError for an option that is invalid
/// or excludes another.
TrainerOptions effective_options(TrainerOptions options);

}  // namespace levin
