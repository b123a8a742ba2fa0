#pragma once

#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// The `levin` program with the classes of `registry`: fit, validate, test, predict, list, help,
/// plot. Returns its exit status: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted
/// with a checkpoint saved. Lightning: LightningCLI.
int run_command_line(int argc, const char* const* argv, const Registry& registry);

}  // namespace levin
