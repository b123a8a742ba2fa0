#pragma once

#include <torch/types.h>

namespace levin {

/// The linear layer input . weight^T + bias for a sparse CSR tensor `input` [rows, in], which costs
/// as much as `input` has entries. `weight`: [out, in]; `bias`: [out] or undefined; the result is
/// dense, [rows, out]. Gradients flow to the weight, dense ones, and to the bias, also through
/// further derivatives, but not to the input. On the CPU, sums are added up in the order of the
/// rows and of their entries, so that the results are the same in each run; on a GPU, gradients are
/// if LibTorch is told to be deterministic (sparse_device.h). `linear` calls this.
///
/// With `has_sparse_gradient`, the gradient of the weight is a sparse COO tensor, which has only
/// the columns in which the input has entries: a step then costs no more for a million columns than
/// for a thousand, if the optimizer takes such gradients (SGD without momentum, Adagrad). It is
/// dense if the gradient itself is to be differentiated, and on a GPU for another type than float32
/// or in a build without CUDA kernels.
torch::Tensor sparse_linear(const torch::Tensor& input, const torch::Tensor& weight,
                            const torch::Tensor& bias, bool has_sparse_gradient = false);

}  // namespace levin
