#pragma once

#include <cstdint>

namespace levin {

/// Returns the number of cores that this process may run on: those of its affinity.
int64_t usable_cores();

}  // namespace levin
