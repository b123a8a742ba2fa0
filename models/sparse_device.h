#pragma once

#include <vector>

#include <torch/types.h>

#include <levin/framework/data/rows.h>
#include <levin/models/ready_gradients.h>

// Linear layers on sparse rows that lie on a GPU, by kernels for it
// (framework/kernels/cuda/sparse.h). The functions also take tensors on the CPU, where twins of the
// kernels do the same: for tests, since there are faster ways on the CPU.
//
// Gradients are summed by atomic additions, in no order. If LibTorch is told to use deterministic
// algorithms only (the Trainer's option `deterministic`), the entries are sorted by their columns
// and summed in that order, which costs the sort, but gives the same bits in each run.
namespace levin::sparse_device {

/// Whether the functions below take a sparse CSR tensor and a weight: both are float32 and on the
/// same GPU, and this build has the kernels. That the entries are in range is taken for granted.
bool suits(const torch::Tensor& csr, const torch::Tensor& weight);

/// x . weight^T [rows, out], where x is a sparse CSR tensor [rows, in].
torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight);
/// outer^T . x, [out, in]; `outer`: [rows, out].
torch::Tensor transposed_product(const torch::Tensor& x, const torch::Tensor& outer);
/// The same as a coalesced sparse COO tensor that has only the columns in which x has entries. The
/// host waits to learn how many there are.
torch::Tensor sparse_gradient(const torch::Tensor& x, const torch::Tensor& outer);

}  // namespace levin::sparse_device

namespace levin {

/// The mean cross-entropy of a linear classifier on sparse rows together with its gradient, by one
/// pass of a kernel over the rows of a batch on a GPU. Used as SoftmaxLoss is.
class SparseClassLoss {
 public:
  /// Whether the pass can be used: gradients are being recorded and needn't be differentiated
  /// themselves; the rows are sparse and at least one, with as many labels, int64; and the rows,
  /// the labels and the parameters, which can be made ready (ReadyGradients), of at most 64
  /// outputs, are on one device. On a GPU, this build must have the kernels.
  static bool can_learn(const Rows& rows, const torch::Tensor& labels, const torch::Tensor& weight,
                        const torch::Tensor& bias);

  /// Returns the loss, [], on the device: of two classes if `weight` [outputs, features] has one
  /// row, else the softmax's. Each label must be a class, which isn't checked. Nothing is waited
  /// for.
  torch::Tensor operator()(const Rows& rows, const torch::Tensor& labels,
                           const torch::Tensor& weight, const torch::Tensor& bias);
  /// As SoftmaxLoss::backward.
  bool backward(const torch::Tensor& loss) { return ready_.backward(loss); }

 private:
  ReadyGradients ready_;
};

}  // namespace levin
