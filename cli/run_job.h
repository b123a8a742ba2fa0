#pragma once

#include <levin/cli/arguments.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Runs `levin fit`, `validate`, `test` or `predict`: reads and checks the whole configuration,
/// makes the objects and calls the Trainer. The final metrics go to stderr as a table and, with
/// `--json`, to stdout as one JSON object.
///
/// validate, test and predict make the module that the checkpoint is of (`make_module`) if the
/// configuration names no model, and take settings from it that the configuration doesn't have
/// (`take_checkpoint_settings`). So does a fit that goes on from a checkpoint
/// (`take_settings_to_resume`).
///
/// Returns the exit status: 0, or 130 if a signal ended the run. Errors are thrown: ConfigError for
/// a wrong configuration, before anything is written, and whatever the run throws.
int run_job(const Arguments& arguments, const Registry& registry);

}  // namespace levin
