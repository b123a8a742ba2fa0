#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/data/sampler.h>

namespace levin::test {

/// All rows of an epoch in the sampler's order.
inline std::vector<int64_t> epoch_of(Sampler& sampler, int64_t epoch) {
  sampler.set_epoch(epoch);
  std::vector<int64_t> rows(static_cast<size_t>(sampler.size()));
  sampler.rows(0, rows);
  return rows;
}

}  // namespace levin::test
