#pragma once

#include <cstdint>

namespace levin::kernels {

/// `size` rounded up to whole vectors of the widest kind.
constexpr int64_t padded(int64_t size) { return (size + 15) / 16 * 16; }

/// The number of rows that go through forward, loss and backward together, so few that they stay in
/// a second-level cache.
constexpr int64_t rows_a_block(int64_t width) {
  constexpr int64_t kFloats = 40 * 1024;
  constexpr int64_t kMost = 64;
  constexpr int64_t kLeast = 8;
  const int64_t fitting = kFloats / width;
  return fitting > kMost ? kMost : fitting < kLeast ? kLeast : fitting;
}

}  // namespace levin::kernels
