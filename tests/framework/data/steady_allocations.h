#pragma once

#include <cstdint>

#include <levin/framework/data/dataloader.h>

#include "framework/allocations.h"

namespace levin::test {

/// Reads twelve epochs, and returns how often memory was allocated in the last six.
inline int64_t steady_allocations(Reader& reader) {
  Batch batch;
  int64_t before = 0;
  for (int64_t epoch = 0; epoch < 12; ++epoch) {
    if (epoch == 6) before = allocations();
    reader.seek(epoch);
    while (reader.next(batch)) {
    }
  }
  return allocations() - before;
}

}  // namespace levin::test
