#pragma once

#include <torch/types.h>

namespace levin {

/// The linear layer input . weight^T + bias, as at::linear computes it. `input` is [..., in],
/// `weight` [out, in], `bias` [out] or undefined; the result is [..., out]. Can be differentiated
/// as often as at::linear. A sparse CSR tensor [rows, in] is multiplied entry by entry
/// (sparse_linear.h).
///
/// Large products of dense float32 matrices on the CPU are computed in parts, which `share_out`
/// gives to the threads of a run (framework/threads/shared_work.h). The parts follow from the sizes
/// alone, so the result and the gradients have the same bits for any number of threads. All else is
/// left to at::linear, and everything that LibTorch's tracer watches, which then sees one
/// operation.
torch::Tensor linear(const torch::Tensor& input, const torch::Tensor& weight,
                     const torch::Tensor& bias = {});

}  // namespace levin
