#pragma once

#include <cstdint>

namespace levin {

/// The bytes of this machine's memory, or the largest number if that isn't known. Don't allocate or
/// read more than this: the system might kill the process before an allocation fails.
uint64_t physical_memory();

}  // namespace levin
