#pragma once

#include <cstdint>

/// The sizes of the kernels' scratch memory. `scratch_size` and the loops of all kinds of vector
/// units use the same functions, so that they agree.
namespace levin::kernels {

/// Returns `size`, in floats, rounded up to whole vectors of the widest kind (16 floats, AVX-512).
/// All kernels use this width, so that the scratch memory needed doesn't depend on the machine.
constexpr int64_t padded(int64_t size) { return (size + 15) / 16 * 16; }

/// How many rows are fetched from memory side by side.
constexpr int64_t kRowsFetchedAtOnce = 8;

/// Returns how many rows of `width` floats go through forward, loss and backward together: as many
/// as take 160 KiB, so that they stay in a second-level cache, but at least 8 and at most 64, and a
/// multiple of kRowsFetchedAtOnce. Other blocks of a batch may have fewer. `width` must be at least
/// 1.
constexpr int64_t rows_a_block(int64_t width) {
  // The number of floats in a full block, and the most and least rows of one.
  constexpr int64_t kFloats = 40 * 1024;
  constexpr int64_t kMost = 64;
  constexpr int64_t kLeast = kRowsFetchedAtOnce;
  const int64_t fitting = kFloats / width / kRowsFetchedAtOnce * kRowsFetchedAtOnce;
  return fitting > kMost ? kMost : fitting < kLeast ? kLeast : fitting;
}

}  // namespace levin::kernels
