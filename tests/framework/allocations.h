#pragma once

#include <cstdint>

namespace levin::test {

/// How often this thread has called the global operator new so far, in all libraries.
int64_t allocations();

}  // namespace levin::test
