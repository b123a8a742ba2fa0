#pragma once

#include <levin/cli/command.h>

namespace levin {

/// Returns the commands `serve` and `bench-serve`, for run_command_line.
Commands serving_commands();

}  // namespace levin
