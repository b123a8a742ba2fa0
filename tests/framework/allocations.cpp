#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local int64_t g_allocations = 0;
}

namespace levin::test {
int64_t allocations() { return g_allocations; }
}  // namespace levin::test

// The arrays' and nothrow forms of the standard library end here too.
void* operator new(std::size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
