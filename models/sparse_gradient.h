#pragma once

#include <torch/types.h>

namespace levin {

/// Returns outer^T . x, the gradient of a linear layer's weight, as a sparse COO tensor [out, in]
/// that has only the columns in which `x` has entries, coalesced. `x`: a sparse CSR tensor
/// [rows, in] on the CPU, whose entries are in range (`require_entries_in_range`); `outer`:
/// [rows, out] of the type of `x`, float32 or float64.
///
/// The cost is that of the entries. Each thread that calls this keeps memory of the size of the
/// largest weight, in which the numbers are summed.
torch::Tensor sparse_weight_gradient(const torch::Tensor& x, const torch::Tensor& outer);

}  // namespace levin
