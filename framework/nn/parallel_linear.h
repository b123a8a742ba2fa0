#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <levin/framework/nn/tensor_parallel.h>
#include <levin/framework/nn/tensor_shards.h>

namespace levin {

/// Options of ColumnLinear.
struct ColumnLinearOptions {
  /// The sizes of the whole layer, at least 1; `out_features` at least the number of ranks.
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  /// Whether the ranks' parts of the output are joined, so that every rank has all of it. Not
  /// before a RowLinear or class_parallel_cross_entropy, which take the parts.
  bool gather_output = false;
};

/// A linear layer whose outputs are divided among the ranks of a tensor group. Megatron-LM:
/// ColumnParallelLinear; PyTorch: ColwiseParallel.
///
///     y = x W' + b           x: [rows, in_features], y: [rows, own out_features]
///
/// All ranks have the same `x`. The forward pass exchanges nothing (unless gather_output); the
/// backward pass sums the gradient of `x` over the group. A perceptron of a column layer, an
/// activation and a row layer therefore exchanges once in each direction:
///
///     ColumnLinear up(ColumnLinearOptions{.in_features = 784, .out_features = 4096}, group);
///     RowLinear down(RowLinearOptions{.in_features = 4096, .out_features = 10}, group);
///     const auto logits = down(torch::relu(up(rows)));     // the same on all ranks
///
/// Made without a group, the layer is a whole one, which computes what torch::nn::Linear does,
/// until it is divided (TensorParallelLayer), as the Trainer does:
///
///     register_module("up", ColumnLinear(ColumnLinearOptions{784, 4096}));
///
/// The ranks' random generators have to be in the same state: each makes the weights of the whole
/// layer as torch::nn::Linear does, and keeps its part, so that the weights don't depend on the
/// number of ranks.
class ColumnLinearImpl : public torch::nn::Cloneable<ColumnLinearImpl>, public TensorParallelLayer {
 public:
  using Options = ColumnLinearOptions;
  /// Throws ConfigError for sizes that don't fit, and if this rank isn't in the group. Null: the
  /// layer is whole.
  explicit ColumnLinearImpl(ColumnLinearOptions options,
                            std::shared_ptr<ProcessGroup> group = nullptr);
  void reset() override;
  torch::Tensor forward(const torch::Tensor& input);
  ColumnLinearOptions options;
  /// The output features that this rank has.
  ShardRange shard;
  /// [own out_features, in_features], and [own out_features] or undefined.
  torch::Tensor weight;
  torch::Tensor bias;

 protected:
  /// "weight" and "bias", both divided along dimension 0.
  TensorShards shards_of(int64_t rank, int64_t ranks) const override;
  torch::Tensor divided_parameter(const std::string& name) override { return parameters_[name]; }
  void shards_changed() override;
};
TORCH_MODULE(ColumnLinear);

/// Options of RowLinear.
struct RowLinearOptions {
  /// The sizes of the whole layer, at least 1; `in_features` at least the number of ranks.
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  /// Whether the input has this rank's features only, as the output of a ColumnLinear, or a data
  /// set of which each rank reads its own columns. If not, it has all features, the same on all
  /// ranks, of which each takes its own.
  bool input_is_parallel = true;
};

/// A linear layer whose inputs are divided among the ranks of a tensor group. The forward pass sums
/// the output over the group; the backward pass exchanges nothing if the input is parallel.
/// Megatron-LM: RowParallelLinear; PyTorch: RowwiseParallel.
///
///     y = sum over ranks of (x W') + b     x: [rows, own in_features], y: [rows, out_features]
///
/// The bias is added once, after the sum; all ranks have all of it, and the same gradient. As the
/// only layer of a softmax regression, this divides its features among the ranks, which then
/// exchange the logits, [rows, classes]. For the random generators, see ColumnLinear.
class RowLinearImpl : public torch::nn::Cloneable<RowLinearImpl>, public TensorParallelLayer {
 public:
  using Options = RowLinearOptions;
  /// Throws ConfigError for sizes that don't fit, and if this rank isn't in the group. Null: the
  /// layer is whole.
  explicit RowLinearImpl(RowLinearOptions options, std::shared_ptr<ProcessGroup> group = nullptr);
  void reset() override;
  torch::Tensor forward(const torch::Tensor& input);
  RowLinearOptions options;
  /// The input features that this rank has.
  ShardRange shard;
  /// [out_features, own in_features], and [out_features] or undefined.
  torch::Tensor weight;
  torch::Tensor bias;

 protected:
  /// "weight", divided along dimension 1.
  TensorShards shards_of(int64_t rank, int64_t ranks) const override;
  torch::Tensor divided_parameter(const std::string& name) override { return parameters_[name]; }
  void shards_changed() override;
};
TORCH_MODULE(RowLinear);

}  // namespace levin
