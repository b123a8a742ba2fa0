#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// The member of a state's values that says which of its tensors are parts of larger ones, under
/// their names: those of an optimizer whose state ranks share.
inline constexpr const char* kSlices = "levin.slices";

/// Which part of a whole tensor, flattened, another one is.
struct TensorSlice {
  /// Of the whole.
  std::vector<int64_t> shape{};
  /// Entries [begin, end).
  int64_t begin = 0;
  int64_t end = 0;
};

/// `{shape: [...], begin: 0, end: 5}`, and back. Throws CheckpointError for another value.
Value to_value(const TensorSlice& slice);
TensorSlice to_slice(const Value& value);

}  // namespace levin
