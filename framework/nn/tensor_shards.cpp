#include <levin/framework/nn/tensor_shards.h>

#include <memory>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/module.h>

#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>

namespace levin {
namespace {

/// The shard of the tensor `name`, or of the parameter that an optimizer's tensor of that name
/// belongs to; null if it isn't divided.
const TensorShard* tensor_shard_of(const TensorShards& shards, std::string_view name) {
  const auto own = shards.find(name);
  if (own != shards.end()) return &own->second;
  const auto dot = name.rfind('.');
  if (dot == name.npos) return nullptr;
  const auto parameter = shards.find(name.substr(0, dot));
  return parameter == shards.end() ? nullptr : &parameter->second;
}

void require_extent(const std::string& name, const torch::Tensor& tensor, const TensorShard& shard,
                    int64_t extent) {
  if (tensor.dim() > shard.dimension && tensor.size(shard.dimension) == extent) return;
  throw CheckpointError(
      fmt::format("the tensor '{}' has the shape [{}], but dimension {} must have the size {}; "
                  "load a checkpoint of a model of the same sizes",
                  name, fmt::join(tensor.sizes(), ", "), shard.dimension, extent));
}

/// Gives a parameter other values, also of another shape. Its gradient goes, and so does the node
/// that accumulates it, which knows the old shape.
void replace_values(torch::Tensor parameter, const torch::Tensor& values) {
  parameter.mutable_grad().reset();
  parameter.set_data(values);
  if (parameter.requires_grad()) torch::autograd::impl::set_grad_accumulator(parameter, {});
}

/// Calls `change` with each tensor of a state that is divided. An optimizer's counts of steps,
/// which are scalars, aren't.
template <class Change>
StateDict changed_state(const StateDict& state, const TensorShards& shards, const Change& change) {
  StateDict result = state;
  for (auto& [name, tensor] : result.tensors) {
    const auto* shard = tensor_shard_of(shards, name);
    if (shard != nullptr && tensor.dim() > 0) tensor = change(name, tensor, *shard);
  }
  return result;
}

}  // namespace

void TensorParallelLayer::divide(std::shared_ptr<ProcessGroup> group) {
  if (!shards_.empty()) {
    throw ModuleError::contract(
        "a layer that is divided among ranks", "it is divided already, by a run that failed",
        "make the module anew, or load its weights from a checkpoint into a new one");
  }
  if (!group->is_member()) {
    throw ConfigError::conflict(
        fmt::format("a layer divided on rank {}, which isn't in its tensor group",
                    group->global_rank()),
        "divide it on the ranks of the group only");
  }
  shards_ = shards_of(group->rank(), group->world_size());
  group_ = std::move(group);
  const at::NoGradGuard no_grad;
  for (const auto& [name, shard] : shards_) {
    const auto parameter = divided_parameter(name);
    replace_values(parameter, parameter.detach()
                                  .narrow(shard.dimension, shard.range.begin, shard.range.size())
                                  .clone(at::MemoryFormat::Contiguous));
  }
  shards_changed();
}

void TensorParallelLayer::join() {
  if (group_ == nullptr) return;
  StateDict own;
  for (const auto& item : shards_) own.tensors[item.first] = divided_parameter(item.first).detach();
  const auto whole = gather_shards(own, shards_, *group_);
  for (const auto& [name, tensor] : whole.tensors) {
    replace_values(divided_parameter(name), tensor.clone());
  }
  shards_.clear();
  group_.reset();
  shards_changed();
}

void TensorParallelLayer::require_group(std::string_view layer) const {
  if (shards_.empty() || group_ != nullptr) return;
  throw ModuleError::contract(
      layer, "this rank has only its part of the weights, because a run that shared it has failed",
      "make the module anew, or load its weights from a checkpoint into a new one");
}

TensorShards find_shards(const torch::nn::Module& module) {
  TensorShards all;
  for (const auto& item : module.named_modules(/*name_prefix=*/{}, /*include_self=*/false)) {
    const auto* layer = dynamic_cast<const TensorParallelLayer*>(item.value().get());
    if (layer == nullptr) continue;
    for (const auto& [name, shard] : layer->shards()) {
      all.emplace(fmt::format("{}.{}", item.key(), name), shard);
    }
  }
  if (const auto* itself = dynamic_cast<const TensorParallelLayer*>(&module)) {
    all.insert(itself->shards().begin(), itself->shards().end());
  }
  return all;
}

StateDict gather_shards(const StateDict& own, const TensorShards& shards, ProcessGroup& group) {
  const at::NoGradGuard no_grad;
  const auto gathered = [&](const std::string& name, const torch::Tensor& tensor,
                            const TensorShard& shard) {
    require_extent(name, tensor, shard, shard.range.size());
    if (group.world_size() == 1) return tensor;
    const auto shared = std::shared_ptr<ProcessGroup>(&group, [](ProcessGroup*) {});
    const auto last = tensor.movedim(shard.dimension, -1);
    return join_shards(last, shard.range, shared).movedim(-1, shard.dimension).contiguous();
  };
  return changed_state(own, shards, gathered);
}

StateDict take_shards(const StateDict& whole, const TensorShards& shards) {
  const at::NoGradGuard no_grad;
  const auto taken = [&](const std::string& name, const torch::Tensor& tensor,
                         const TensorShard& shard) {
    require_extent(name, tensor, shard, shard.range.whole);
    return tensor.narrow(shard.dimension, shard.range.begin, shard.range.size())
        .clone(at::MemoryFormat::Contiguous);
  };
  return changed_state(whole, shards, taken);
}

torch::Tensor clip_grad_norm_of_shards(const torch::nn::Module& module, double max_norm,
                                       ProcessGroup& group) {
  const auto shards = find_shards(module);
  std::vector<torch::Tensor> divided;
  std::vector<torch::Tensor> same;
  for (const auto& item : module.named_parameters()) {
    (shards.contains(item.key()) ? divided : same).push_back(item.value());
  }
  return clip_grad_norm_of_shards(divided, same, max_norm, group);
}

torch::Tensor clip_grad_norm_of_shards(
    const std::vector<torch::Tensor>& divided, const std::vector<torch::Tensor>& same,
    double max_norm, ProcessGroup& group,
    const std::function<torch::Tensor(const torch::Tensor& norm)>& join) {
  std::vector<torch::Tensor> all = divided;
  all.insert(all.end(), same.begin(), same.end());
  const auto square = [](const std::vector<torch::Tensor>& parameters) {
    auto norm = at::zeros({}, at::kDouble);
    clip_grad_norm(parameters, 1.0, 2.0, [&](const torch::Tensor& own) {
      norm = own.to(at::kDouble);
      return at::zeros_like(own);  // so that nothing is scaled
    });
    return norm.square();
  };
  // A rank without gradients has a sum on the CPU.
  const auto device = all.empty() ? at::Device(at::kCPU) : all.front().device();
  auto sum = square(divided).to(device);
  recorded_all_reduce(group, sum, ExchangeKind::metrics);
  auto total = (sum + square(same).to(device)).sqrt();
  if (join) total = join(total);
  return clip_grad_norm(all, max_norm, 2.0,
                        [&](const torch::Tensor& own) { return total.to(own.scalar_type()); });
}

}  // namespace levin
