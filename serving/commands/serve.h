#pragma once

#include <levin/cli/command.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Runs `levin serve MODEL...` until SIGINT or SIGTERM: then it takes no more connections, answers
/// what has begun, and returns kDone; kFailed if some of it wasn't answered within --drain-timeout.
/// A second signal ends the process at once.
///
/// Throws ConfigError for a wrong command line, and CheckpointError or Error if a model can't be
/// loaded or the port can't be listened on.
int serve(const Arguments& arguments, const Registry& registry);

/// The command `serve`, for run_command_line.
Command serve_command();

}  // namespace levin
