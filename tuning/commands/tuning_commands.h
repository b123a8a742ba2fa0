#pragma once

#include <levin/cli/command.h>

namespace levin {

/// Returns the commands `tune` and `sweep`, for run_command_line.
Commands tuning_commands();

}  // namespace levin
