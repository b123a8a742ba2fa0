#pragma once

#include <levin/cli/command.h>

namespace levin {

/// The command `levin tune`, which runs a search, and `levin tune show STUDY`.
Command tune_command();

}  // namespace levin
