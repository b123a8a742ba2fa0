#pragma once

#include <levin/cli/command.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// The `levin` program: runs the command that `argv` names (fit, validate, test, predict, list,
/// help, convert, export, new, plot, runs, schema, completion) with the classes of `registry` and
/// those of the plugins that `--plugin` and configuration files name (plugin.h). Lightning:
/// LightningCLI.
///
///     int main(int argc, char** argv) {
///       auto registry = levin::shipped_classes();
///       registry.models.add<MyModel>("MyModel", "what it does");
///       return levin::run_command_line(argc, argv, registry);
///     }
///
/// Returns the exit status: 0 if the command succeeded, 1 if it failed, 2 for a wrong command line
/// or configuration, 130 if a signal ended the run and its checkpoint is saved. Exceptions become a
/// line on stderr, "error: ...". `more` are commands that the program adds, such as
/// serving_commands().
int run_command_line(int argc, const char* const* argv, const Registry& registry,
                     const Commands& more = {});

}  // namespace levin
