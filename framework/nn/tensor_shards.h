#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <levin/framework/nn/tensor_parallel.h>
#include <levin/framework/tensor/state_dict.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// Says which part of a tensor a rank of a tensor group has.
struct TensorShard {
  /// The dimension that is divided among the ranks.
  int64_t dimension = 0;
  ShardRange range{};

  friend bool operator==(const TensorShard&, const TensorShard&) = default;
};

/// The tensors of which a rank has a part, by name. All others are the same on all ranks.
using TensorShards = std::map<std::string, TensorShard, std::less<>>;

/// A layer of which each rank of a tensor group has a part; a base of its class beside
/// torch::nn::Module.
class TensorParallelLayer {
 public:
  virtual ~TensorParallelLayer() = default;
  /// The layer's own parameters and buffers that are divided, by their names in the layer.
  virtual TensorShards shards() const = 0;
};

/// The tensors of `module` that are divided, by their names in the module ("up.weight"): those of
/// all TensorParallelLayers in it.
TensorShards find_shards(const torch::nn::Module& module);

/// Returns `own`, a rank's state of a module or an optimizer, with whole tensors in place of the
/// parts that are named in `shards`: what one process would have. For an optimizer, those of
/// "up.weight.exp_avg" go with "up.weight". A collective of `group`, all ranks of which get the
/// whole state; to save it, one of them suffices:
///
///     const auto whole = gather_shards(model.state_dict(), find_shards(model), group);
///     if (group.rank() == 0) save_checkpoint("model.ckpt", whole);
///
/// So a checkpoint loads with any number of ranks, also in one process without parallel layers.
/// Throws CheckpointError if the shape of a tensor doesn't fit its shard.
StateDict gather_shards(const StateDict& own, const TensorShards& shards, ProcessGroup& group);

/// Returns this rank's parts of a state that `gather_shards` or one process has made:
///
///     model.load_state_dict(take_shards(load_checkpoint("model.ckpt"), find_shards(model)));
///
/// Throws CheckpointError if the shape of a tensor doesn't fit its shard.
StateDict take_shards(const StateDict& whole, const TensorShards& shards);

/// Scales all gradients of `module` by one factor, in place, so that their joint norm over the
/// ranks of the tensor group is at most `max_norm`. Parts of tensors count on each rank, and what
/// all ranks have the same counts once. Returns the norm before that, []. A collective of `group`.
/// See levin::clip_grad_norm.
torch::Tensor clip_grad_norm_of_shards(const torch::nn::Module& module, double max_norm,
                                       ProcessGroup& group);

}  // namespace levin
