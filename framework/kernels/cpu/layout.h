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

// --- rows of bytes on the matrix unit of x86 processors (byte_products.h) ---

/// A tile has 16 rows of 64 bytes.
constexpr int64_t kTileRows = 16;
constexpr int64_t kTileBytes = 64;
constexpr int64_t kTileSize = kTileRows * kTileBytes;
/// Each class takes three columns, and a group of ten classes nearly all of two tiles.
constexpr int64_t kClassesOfGroup = 10;
constexpr int64_t kColumnsOfGroup = 2 * kTileRows;
/// How many rows are multiplied at a time, and the most in a block. A block's sums of products of
/// bytes and digits are far from overflowing.
constexpr int64_t kRowsOfProduct = 2 * kTileRows;
constexpr int64_t kMostByteRows = 256;
/// The sums of four times two tiles, and a vector behind them that may be read.
constexpr int64_t kSumsOfProducts = 4 * kColumnsOfGroup * kTileRows + kTileRows;

constexpr int64_t class_groups(int64_t classes) {
  return (classes + kClassesOfGroup - 1) / kClassesOfGroup;
}
/// The bytes of a row of whole tiles.
constexpr int64_t byte_width(int64_t features) {
  return (features + kTileBytes - 1) / kTileBytes * kTileBytes;
}
/// As many rows as whole tiles take side by side.
constexpr int64_t tile_rows(int64_t rows) { return byte_width(rows); }

/// Whether the matrix unit is used for weights of this size: sums over a row must fit in 32 bits,
/// and the weights are copied in every pass.
constexpr int64_t kMostByteGroups = 64;
constexpr bool has_byte_products(int64_t classes, int64_t features) {
  constexpr int64_t kMostFeatures = 65'536;  // 2^31 / (255 * 128)
  constexpr int64_t kMostWeights = int64_t{1} << 22;
  return features <= kMostFeatures && class_groups(classes) <= kMostByteGroups &&
         classes * features <= kMostWeights;
}

/// The number of floats of scratch memory that a pass over rows of bytes needs.
constexpr int64_t byte_scratch_size(int64_t classes, int64_t features) {
  if (!has_byte_products(classes, features)) return 0;
  const int64_t groups = class_groups(classes), width = byte_width(features);
  const int64_t bytes = groups * width * kColumnsOfGroup + kRowsOfProduct * width +
                        kMostByteRows * kTileBytes + groups * kMostByteRows * kColumnsOfGroup;
  // Also the units, the logits, the bias and its gradient, and for beginning at a cache line.
  return bytes / 4 + kSumsOfProducts + groups * 16 + (kMostByteRows + 2) * padded(classes) +
         padded(1);
}

}  // namespace levin::kernels
