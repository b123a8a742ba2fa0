#pragma once

#include <levin/framework/core/stage.h>
#include <levin/framework/run/module.h>

namespace levin {

/// Throws ModuleError if `module` lacks the step without which `stage` can't run: training_step for
/// fit, validation_step for validate, test_step for test, predict_step or predict for predict. The
/// Trainer calls this before anything else happens. Lightning: _verify_loop_configurations.
void require_step(const Module& module, Stage stage);

/// Whether a fit leaves out validation because the module has no validation_step. If so, and if
/// `speaks`, prints a warning. To be called if there are validation data.
bool leaves_out_validation(const Module& module, bool speaks);

}  // namespace levin
