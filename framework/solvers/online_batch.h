#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/data/batch.h>
#include <levin/framework/kernels/cpu/sparse.h>
#include <levin/framework/solvers/linear_loss.h>

namespace levin {

/// A batch as the kernels of online learners read it: sparse rows where they lie, and for each row
/// its target and what it counts. Used again for each batch; it keeps its memory.
class OnlineBatch {
 public:
  /// Dense rows may have as many features. They are read as sparse rows that have all entries.
  static constexpr int64_t kMostDenseFeatures = 4096;

  OnlineBatch() = default;
  /// `one_by_one`: whether each row is a step. `reader` is the name that errors give the optimizer.
  OnlineBatch(const LinearLoss& loss, bool one_by_one, std::string reader);

  /// Reads the batch, which must exist as long as the pointers are used. Throws what
  /// OnlineLearner::learn throws for batches.
  void read(const Batch& batch);

  const kernels::SparseView& rows() const { return view_; }
  /// [count].
  const float* targets() const { return targets_.const_data_ptr<float>(); }
  /// [count]: the weights of the rows and of their classes over the mean weight, times 2 for the
  /// squared loss, of which the kernels know the half. Null if all are 1.
  const float* row_weights() const { return row_weights_.empty() ? nullptr : row_weights_.data(); }
  /// Room for the number of each entry, unless rows are learned from one by one.
  int32_t* touched() { return touched_.data(); }

 private:
  void view_sparse(const Rows& rows);
  void view_dense(const Rows& rows);
  void read_targets(const Batch& batch);
  void read_weights(const Batch& batch);

  bool is_logistic_ = true;
  bool one_by_one_ = true;
  int64_t features_ = 0;
  double factor_ = 1.0;
  torch::Tensor class_weight_;  // float64 [2], or undefined
  std::string reader_;

  kernels::SparseView view_;
  torch::Tensor targets_;
  std::vector<float> row_weights_;
  std::vector<int32_t> touched_;
  torch::Tensor dense_;
  std::vector<int64_t> dense_offsets_;
  std::vector<int32_t> dense_indices_;
};

}  // namespace levin
