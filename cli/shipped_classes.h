#pragma once

#include <levin/framework/config/registry.h>

namespace levin {

/// Every class Levin ships that a configuration can name.
Registry shipped_classes();

}  // namespace levin
