#pragma once

#include <levin/cli/arguments.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Does what `levin fit`, `validate`, `test` or `predict` is asked for: reads and checks the whole
/// configuration, makes the objects, runs. Results go to stdout and stderr. Returns the exit
/// status, 0 or 130. Throws what failed.
int run_job(const Arguments& arguments, const Registry& registry);

}  // namespace levin
