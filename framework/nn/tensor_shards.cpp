#include <levin/framework/nn/tensor_shards.h>

#include <memory>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
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

TensorShards find_shards(const torch::nn::Module& module) {
  TensorShards all;
  for (const auto& item : module.named_modules(/*name_prefix=*/{}, /*include_self=*/false)) {
    const auto* layer = dynamic_cast<const TensorParallelLayer*>(item.value().get());
    if (layer == nullptr) continue;
    for (auto& [name, shard] : layer->shards()) {
      all.emplace(fmt::format("{}.{}", item.key(), name), shard);
    }
  }
  if (const auto* itself = dynamic_cast<const TensorParallelLayer*>(&module)) {
    all.merge(itself->shards());
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
  std::vector<torch::Tensor> all;
  std::vector<torch::Tensor> divided;
  std::vector<torch::Tensor> same;
  for (const auto& item : module.named_parameters()) {
    all.push_back(item.value());
    (shards.contains(item.key()) ? divided : same).push_back(item.value());
  }
  const auto square = [](const std::vector<torch::Tensor>& parameters) {
    torch::Tensor norm;
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
  const auto total = (sum + square(same).to(device)).sqrt();
  return clip_grad_norm(all, max_norm, 2.0,
                        [&](const torch::Tensor& own) { return total.to(own.scalar_type()); });
}

}  // namespace levin
