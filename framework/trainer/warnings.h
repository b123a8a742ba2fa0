#pragma once

#include <filesystem>

#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

// Warnings about what makes a run meaningless though nothing fails. Each is printed once, on rank
// 0.

/// Warns if the stage in progress (validate, test, predict) uses the weights with which the module
/// was made: it has parameters, no fit has trained them, and none were loaded.
void warn_if_untrained(Run& run, const Module& module);

/// Warns if a fit changes nothing of a module that has parameters to train, because there is no
/// optimizer, or because the optimizer has none of these parameters.
void warn_without_optimizer(Run& run, const Module& module, const Optimizers& optimizers);

/// Warns of settings of a pipeline in a run that has none, in which they do nothing.
void warn_without_pipeline(Run& run, const TrainerOptions& options);

/// Warns if the process was given a seed, by seed_everything, that isn't the one of `checkpoint`,
/// from which a fit is about to resume and whose random generators it takes over. To be called
/// before it does.
void warn_about_seed(Run& run, const StateDict& checkpoint);

/// Warns if the module was made with other settings than the one whose weights are in `checkpoint`,
/// read from `path`: weights of the same shapes may belong to another function, such as another
/// activation.
void warn_about_other_settings(Run& run, const Module& module, const StateDict& checkpoint,
                               const std::filesystem::path& path);

}  // namespace levin
