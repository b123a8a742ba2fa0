#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/nn/diverted_batch_norms.h>

namespace levin {

/// The options of torch::nn::BatchNormOptions, with the same names, meanings and defaults.
struct SyncBatchNormOptions {
  /// The number of channels, at least 1.
  int64_t num_features = 0;
  /// Added to the variance.
  double eps = 1e-5;
  /// The weight of a new batch in the running statistics. Without a value, the running statistics
  /// are the mean over all batches.
  std::optional<double> momentum = 0.1;
  /// Whether the layer has a weight and a bias.
  bool affine = true;
  /// Whether running statistics are kept, for evaluation. If not, evaluation uses those of the
  /// batch.
  bool track_running_stats = true;
};

/// Batch normalisation over the rows of all ranks: it computes what one process would compute on
/// the global batch. Use it if each rank's own part of a batch is too small for good statistics.
/// PyTorch: torch.nn.SyncBatchNorm.
///
///     y = (x - mean) / sqrt(var + eps) * weight + bias        x, y: [rows, channels, ...]
///
///     norm_ = register_module("norm", levin::SyncBatchNorm(16));
///
/// Parameters and buffers are those of torch::nn::BatchNorm1d to 3d, so checkpoints of those fit. A
/// strategy joins the layer to the other ranks (SyncBatchNorms). Without that, and in evaluation,
/// the layer exchanges nothing and computes what BatchNorm does. Ranks may have any number of rows,
/// even none. The gradients of weight and bias are sums over this rank's rows; the gradient of x is
/// exact if the loss to be minimised is the sum of the ranks' losses.
///
/// In training, each forward and each backward pass of a joined layer costs one exchange.
class SyncBatchNormImpl : public torch::nn::Cloneable<SyncBatchNormImpl> {
 public:
  using Options = SyncBatchNormOptions;

  /// Throws ConfigError if num_features is less than 1.
  explicit SyncBatchNormImpl(SyncBatchNormOptions options);
  /// The same with default options.
  explicit SyncBatchNormImpl(int64_t num_features);
  /// Makes parameters and buffers anew, with their first values, and leaves the other ranks.
  void reset() override;

  /// Normalises `input`, [rows, channels, ...]; the result has the same shape and type. In training
  /// the ranks that have rows exchange statistics in this call, and the others take part by
  /// SyncBatchNorms::end_batch. Throws ModuleError if the number of channels isn't num_features,
  /// and in training if there is only one value for each channel, which has no variance. (With rows
  /// on a GPU, several ranks don't check that.)
  torch::Tensor forward(const torch::Tensor& input);

  SyncBatchNormOptions options;
  /// Weight, bias and running statistics, [channels] each; undefined if the options switch them
  /// off.
  torch::Tensor weight;
  torch::Tensor bias;
  torch::Tensor running_mean;
  torch::Tensor running_var;
  /// How many batches the running statistics have seen, a scalar.
  torch::Tensor num_batches_tracked;

 private:
  friend class SyncBatchNorms;
  struct Moments;
  struct Link;

  torch::Tensor joined_forward(const torch::Tensor& input, std::optional<double> factor = {});
  Moments exchange(const torch::Tensor& own, std::optional<double> factor = {});
  double next_factor();

  std::shared_ptr<Link> link_;  // to the other ranks
  const std::optional<double>* momentum_ = &options.momentum;
};
TORCH_MODULE(SyncBatchNorm);

/// Whether a SyncBatchNorm is among the descendants of `module`.
bool has_sync_batch_norms(const torch::nn::Module& module);

/// Joins the SyncBatchNorm layers of a module over ranks for as long as this object lives and, if
/// asked to, LibTorch's batch norms as well. A strategy has one from setup to teardown; users need
/// none.
///
///     SyncBatchNorms norms(module, group);            // on every rank
///     loss.backward();
///     norms.end_batch(/*took_part=*/true);            // after each batch
///
/// The layers exchange in a process group of their own, because the order of their collectives
/// among the others may differ from rank to rank: a rank that has no rows, or skips a step, takes
/// part in them with nothing, while other ranks are already sending gradients.
class SyncBatchNorms {
 public:
  /// Joins the layers among the descendants of `module`, which has to be the same on all ranks.
  /// `converts` says whether torch::nn::BatchNorm1d to 3d are joined, too; of these, a rank needs
  /// at least two values for each channel in each batch that it takes part in. A collective of
  /// `group` if there are any. Throws ConfigError for a layer of LibTorch with neither weight nor
  /// running statistics, by which it would be known.
  SyncBatchNorms(torch::nn::Module& module, ProcessGroup& group, bool converts = false);
  ~SyncBatchNorms();
  SyncBatchNorms(const SyncBatchNorms&) = delete;
  SyncBatchNorms& operator=(const SyncBatchNorms&) = delete;

  /// Whether no layer is joined.
  bool empty() const { return norms_.empty(); }

  /// Ends a batch. To be called on every rank for every batch, before the rank waits for gradients.
  /// `took_part` says whether this rank has run forward and backward. If it hasn't, it takes part
  /// in the other ranks' collectives with zero rows: as often as in the last batch that it ran, or
  /// once for each layer if it hasn't run any yet.
  void end_batch(bool took_part);
  /// The same for a batch of which no rank computes gradients. A rank that has run no forward pass,
  /// or not all of it, takes part in the rest with zero rows.
  void end_forward();

 private:
  template <class Norm>
  void convert(const std::shared_ptr<torch::nn::Module>& layer);

  std::vector<std::shared_ptr<SyncBatchNormImpl>> norms_;
  std::shared_ptr<SyncBatchNormImpl::Link> link_;
  DivertedBatchNorms diverted_;
};

}  // namespace levin
