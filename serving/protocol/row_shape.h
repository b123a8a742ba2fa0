#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

namespace levin {

/// The sizes but those that are 1.
inline std::vector<int64_t> without_ones(std::span<const int64_t> sizes) {
  std::vector<int64_t> others;
  std::copy_if(sizes.begin(), sizes.end(), std::back_inserter(others),
               [](int64_t size) { return size != 1; });
  return others;
}

/// Whether a row of the sizes `row`, which has as many elements as `shape` says, has them in that
/// order: it is flat, or has the same sizes apart from those that are 1. An image of [28, 28, 3]
/// isn't one of [3, 28, 28].
inline bool is_row_shape(std::span<const int64_t> row, std::span<const int64_t> shape) {
  const auto sizes = without_ones(row);
  return sizes.size() <= 1 || sizes == without_ones(shape);
}

}  // namespace levin
