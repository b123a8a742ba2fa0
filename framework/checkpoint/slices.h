#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// How a state says that some of its tensors are only parts of larger ones, which the ranks share
/// among them, as the sharded strategy does with an optimizer's state. `state_dict` of such an
/// object adds a table to its values, and save_sharded_checkpoint writes each rank's part:
///
///     state.tensors["weight.exp_avg"] = own;    // [5] of the 12 elements
///     state.values[kSlices]["weight.exp_avg"] = to_value(TensorSlice{{4, 3}, 0, 5});

/// The name of that table in a state's values. It maps the name of each such tensor to its slice;
/// tensors that it doesn't name are whole.
inline constexpr const char* kSlices = "levin.slices";

/// Says which part of a larger tensor a tensor holds.
struct TensorSlice {
  /// The shape of the whole tensor.
  std::vector<int64_t> shape{};
  /// The part has the elements [begin, end) of the whole tensor, flattened in row-major order.
  int64_t begin = 0;
  int64_t end = 0;
};

/// Returns the slice as the object {"shape": [4, 3], "begin": 0, "end": 5}.
Value to_value(const TensorSlice& slice);
/// Reads such an object. Throws CheckpointError if a member is missing or of another type; whether
/// the slice lies in the whole tensor isn't checked here.
TensorSlice to_slice(const Value& value);

}  // namespace levin
