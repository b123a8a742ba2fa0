#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <levin/framework/collectives/process_group.h>

namespace levin {

/// torch::nn::BatchNormOptions.
struct SyncBatchNormOptions {
  int64_t num_features = 0;
  double eps = 1e-5;
  /// Of the running statistics; nothing: they are the mean over all batches.
  std::optional<double> momentum = 0.1;
  bool affine = true;
  bool track_running_stats = true;
};

/// Batch norm over the rows of all ranks: what one process would compute on the global batch.
/// torch.nn.SyncBatchNorm.
///
///   y = (x - mean) / sqrt(var + eps) * weight + bias        x, y: [rows, channels, ...]
///
/// Parameters and buffers are those of torch::nn::BatchNorm1d to 3d, and so are the numbers where
/// it isn't joined to other ranks (SyncBatchNorms), and in evaluation, which exchanges nothing.
/// Ranks may have any number of rows, also none. Gradients of weight and bias are the sums over a
/// rank's own rows; that of x is exact where the ranks' losses are parts of one sum.
class SyncBatchNormImpl : public torch::nn::Cloneable<SyncBatchNormImpl> {
 public:
  using Options = SyncBatchNormOptions;

  explicit SyncBatchNormImpl(SyncBatchNormOptions options);
  explicit SyncBatchNormImpl(int64_t num_features);
  void reset() override;

  /// Throws ModuleError where it learns from one value a channel, which has no variance.
  torch::Tensor forward(const torch::Tensor& input);

  SyncBatchNormOptions options;
  torch::Tensor weight;  // [channels], as are the following
  torch::Tensor bias;
  torch::Tensor running_mean;
  torch::Tensor running_var;
  torch::Tensor num_batches_tracked;  // a scalar

 private:
  friend class SyncBatchNorms;
  struct Moments;
  struct Link;

  torch::Tensor joined_forward(const torch::Tensor& input);
  Moments exchange(const torch::Tensor& own);
  double next_factor();

  std::shared_ptr<Link> link_;  // to the other ranks
};
TORCH_MODULE(SyncBatchNorm);

/// Joins the SyncBatchNorms of a module over ranks for as long as it lives. A strategy has one from
/// setup to teardown.
///
/// They exchange in a group of their own, for their collectives may come in any order between those
/// of others: a rank without rows, or whose step was skipped, stands in with nothing while others
/// are already sending gradients.
class SyncBatchNorms {
 public:
  /// A collective where `module` has any.
  SyncBatchNorms(torch::nn::Module& module, ProcessGroup& group);
  ~SyncBatchNorms();
  SyncBatchNorms(const SyncBatchNorms&) = delete;
  SyncBatchNorms& operator=(const SyncBatchNorms&) = delete;

  bool empty() const { return norms_.empty(); }

  /// To be called on every rank for every batch, before gradients are waited for. `took_part`: this
  /// rank has run forward and backward. Else it makes up for those it didn't run, as often as in
  /// the last batch it took part in (before the first: once for each norm).
  void end_batch(bool took_part);

 private:
  std::vector<std::shared_ptr<SyncBatchNormImpl>> norms_;
  std::shared_ptr<SyncBatchNormImpl::Link> link_;
};

}  // namespace levin
