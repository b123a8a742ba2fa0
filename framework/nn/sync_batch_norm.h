#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <levin/framework/collectives/process_group.h>

namespace levin {

/// The same as torch::nn::BatchNormOptions.
struct SyncBatchNormOptions {
  /// The number of channels.
  int64_t num_features = 0;
  /// Added to the variance.
  double eps = 1e-5;
  /// The weight of a new batch in the running statistics; nothing for their mean over all batches.
  std::optional<double> momentum = 0.1;
  /// Whether there are a weight and a bias.
  bool affine = true;
  /// Whether running statistics are kept, for evaluation.
  bool track_running_stats = true;
};

/// Batch normalisation over the rows of all ranks: it computes what one process would compute on
/// the global batch. PyTorch: torch.nn.SyncBatchNorm.
///
///   y = (x - mean) / sqrt(var + eps) * weight + bias        x, y: [rows, channels, ...]
///
///     norm_ = register_module("norm", levin::SyncBatchNorm(16));
///
/// Parameters and buffers are those of torch::nn::BatchNorm1d to 3d. So are the results while it
/// isn't joined to other ranks (a strategy does that, by SyncBatchNorms), and in evaluation, in
/// which ranks exchange nothing. Ranks may have any number of rows, even none. The gradients of
/// weight and bias are sums over this rank's rows; the gradient of x is exact if the loss to be
/// minimised is the sum of the ranks' losses.
class SyncBatchNormImpl : public torch::nn::Cloneable<SyncBatchNormImpl> {
 public:
  using Options = SyncBatchNormOptions;

  explicit SyncBatchNormImpl(SyncBatchNormOptions options);
  explicit SyncBatchNormImpl(int64_t num_features);
  void reset() override;

  /// Normalises `input`, [rows, channels, ...]. In training it is a collective of all ranks. Throws
  /// ModuleError in training if there is only one value a channel, which has no variance.
  torch::Tensor forward(const torch::Tensor& input);

  SyncBatchNormOptions options;
  torch::Tensor weight;  // [channels], like the next three
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

/// Joins the SyncBatchNorm layers of a module over ranks for as long as it lives. A strategy has
/// one from setup to teardown.
///
/// The layers exchange in a process group of their own, because the order of their collectives
/// among the others may differ from rank to rank: a rank without rows, or one that skips a step,
/// takes part in them with nothing while other ranks are already sending gradients.
class SyncBatchNorms {
 public:
  /// Joins the layers of `module`. A collective of `group` if there are any.
  SyncBatchNorms(torch::nn::Module& module, ProcessGroup& group);
  ~SyncBatchNorms();
  SyncBatchNorms(const SyncBatchNorms&) = delete;
  SyncBatchNorms& operator=(const SyncBatchNorms&) = delete;

  /// Whether the module has no such layer.
  bool empty() const { return norms_.empty(); }

  /// Ends a batch; to be called on every rank for every batch, before the rank waits for gradients.
  /// `took_part` says whether this rank has run forward and backward. If it hasn't, it takes part
  /// in the other ranks' collectives with nothing: as often as in the last batch that it ran, or
  /// once for each layer if it hasn't run any yet.
  void end_batch(bool took_part);

 private:
  std::vector<std::shared_ptr<SyncBatchNormImpl>> norms_;
  std::shared_ptr<SyncBatchNormImpl::Link> link_;
};

}  // namespace levin
