#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <torch/nn/module.h>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/nn/tensor_shards.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Throws ModuleError if a module isn't and has no layer that can be divided among ranks
/// (TensorParallelLayer). `name` is that of its class.
void require_layers_to_divide(const torch::nn::Module& module, std::string_view name);

/// The layers of a module that are divided among the ranks of a tensor group for as long as a run
/// lasts.
class DividedLayers {
 public:
  /// Divides all TensorParallelLayers in `module`, of which there may be none, and the module
  /// itself if it is one. All ranks of the group have the same whole ones before. Throws what
  /// TensorParallelLayer::divide throws.
  DividedLayers(torch::nn::Module& module, std::shared_ptr<ProcessGroup> group);
  /// Abandons layers that haven't been joined, but not the module itself, which may be gone.
  ~DividedLayers();
  DividedLayers(const DividedLayers&) = delete;
  DividedLayers& operator=(const DividedLayers&) = delete;

  /// Makes all layers whole again. A collective of the tensor group.
  void join();
  /// Ends the use of the group after a failure (TensorParallelLayer::abandon).
  void abandon() noexcept;
  /// The divided tensors by their names in the module.
  const TensorShards& shards() const { return shards_; }
  /// Scales gradients as levin::clip_grad_norm does, by the norm over all parts of the layers. For
  /// `join`, see clip_grad_norm_of_shards. A collective of the tensor group.
  torch::Tensor clip_grad_norm(
      const std::vector<torch::Tensor>& parameters, double max_norm,
      const std::function<torch::Tensor(const torch::Tensor& norm)>& join = {}) const;

 private:
  std::shared_ptr<ProcessGroup> group_;
  std::vector<std::shared_ptr<torch::nn::Module>> layers_;
  TensorParallelLayer* itself_ = nullptr;  // the module, if it is divided
  TensorShards shards_;
  std::unordered_set<const void*> parameters_;  // that are divided
};

/// Puts whole tensors in the place of this rank's parts of a checkpoint's model and optimizers, as
/// FitState names them. The model has parts only if `is_divided`. A collective of the tensor group.
void gather_checkpoint(StateDict& checkpoint, const TensorShards& shards, bool is_divided,
                       ProcessGroup& group);
/// Puts this rank's parts in the place of the whole tensors of a checkpoint.
void take_from_checkpoint(StateDict& checkpoint, const TensorShards& shards);

}  // namespace levin
