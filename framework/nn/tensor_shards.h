#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// A layer that can be divided among the ranks of a tensor group; a base of its class beside
/// torch::nn::Module. It begins as a whole one. The Trainer divides such layers for as long as a
/// run lasts, if tensor_size is above 1 (docs/parallelism.md).
class TensorParallelLayer {
 public:
  virtual ~TensorParallelLayer() = default;

  /// Keeps this rank's parts of the parameters, which stay the same objects but lose their
  /// gradients. All ranks of the group have the same whole layer before. Throws ConfigError if the
  /// layer is too small for so many ranks or if this rank isn't in the group, and ModuleError if it
  /// is divided already.
  void divide(std::shared_ptr<ProcessGroup> group);
  /// Makes the layer whole again. A collective of the group. Does nothing if it is whole.
  void join();
  /// Ends the use of the group when its ranks can't be reached any more. If the layer is divided,
  /// its forward pass throws ModuleError from then on, because the other parts are lost.
  void abandon() noexcept { group_.reset(); }

  /// The layer's own parameters that are divided, by their names in the layer; none if it is whole.
  const TensorShards& shards() const { return shards_; }
  /// The tensor group; null if the layer is whole.
  const std::shared_ptr<ProcessGroup>& group() const { return group_; }

 protected:
  /// How the layer is divided among `ranks` ranks, for one of them. Throws ConfigError if it can't
  /// be.
  virtual TensorShards shards_of(int64_t rank, int64_t ranks) const = 0;
  /// The parameter of that name, which is one of shards_of.
  virtual torch::Tensor divided_parameter(const std::string& name) = 0;
  /// Called after the layer was divided or joined.
  virtual void shards_changed() {}
  /// Throws ModuleError if other ranks' parts of the layer are lost.
  void require_group(std::string_view layer) const;

 private:
  std::shared_ptr<ProcessGroup> group_;
  TensorShards shards_;
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
/// The same for the gradients of some parameters: `divided`, of which each rank of the group has
/// parts, and `same`, which are the same on all of them. If the ranks of a pipeline have other
/// parameters, `join` receives the norm over the group and returns that over all ranks, both [].
torch::Tensor clip_grad_norm_of_shards(
    const std::vector<torch::Tensor>& divided, const std::vector<torch::Tensor>& same,
    double max_norm, ProcessGroup& group,
    const std::function<torch::Tensor(const torch::Tensor& norm)>& join = {});

}  // namespace levin
