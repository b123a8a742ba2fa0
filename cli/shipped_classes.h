#pragma once

#include <levin/framework/config/registry.h>

namespace levin {

/// Every class Levin ships that a configuration can name. Optimizers and schedulers are those of
/// framework/optimizers/optimizer_list.h.
Registry shipped_classes();

}  // namespace levin
