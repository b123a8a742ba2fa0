#pragma once

#include <vector>

#include <levin/framework/core/stage.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run.h>

namespace levin {

/// Throws ModuleError if `module` lacks the step without which `stage` can't run: training_step for
/// fit, validation_step for validate, test_step for test, predict_step or predict for predict. The
/// Trainer calls this before anything else happens. Lightning: _verify_loop_configurations.
void require_step(const Module& module, Stage stage);

/// Throws DataError if the data module gave no loader of the data that `stage` is about. (A fit
/// does without validation data.)
void require_loader(const DataLoaders& loaders, Stage stage);

/// Throws ConfigError if two callbacks have the same task, which only one may have
/// (Callback::sole_task).
void require_sole_tasks(const std::vector<Callback*>& callbacks);

/// Whether a fit leaves out validation because the module has no validation_step. If so, warns. To
/// be called if there are validation data.
bool leaves_out_validation(Run& run, const Module& module);

}  // namespace levin
