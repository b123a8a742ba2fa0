#pragma once

#include <torch/types.h>

namespace levin {

/// The linear layer input . weight^T + bias for a sparse CSR tensor `input` [rows, in], which costs
/// as much as `input` has entries. `weight`: [out, in]; `bias`: [out] or undefined; the result is
/// dense, [rows, out]. Gradients flow to the weight, dense ones, and to the bias, also through
/// further derivatives, but not to the input. On the CPU, sums are added up in the order of the
/// rows and of their entries, so that the results are the same in each run. `linear` calls this.
torch::Tensor sparse_linear(const torch::Tensor& input, const torch::Tensor& weight,
                            const torch::Tensor& bias);

}  // namespace levin
