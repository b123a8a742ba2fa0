#include <levin/framework/strategies/divided_layers.h>

#include <string>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

TensorParallelLayer* as_tensor_parallel(torch::nn::Module& module) {
  return dynamic_cast<TensorParallelLayer*>(&module);
}

/// Replaces the tensors of the child `name` of a checkpoint by what `changed` makes of them.
template <class Changed>
void change_child(StateDict& checkpoint, const std::string& name, const Changed& changed) {
  if (!checkpoint.has_child(name)) return;
  for (auto& [own, tensor] : changed(checkpoint.child(name)).tensors) {
    checkpoint.tensors[fmt::format("{}.{}", name, own)] = tensor;
  }
}

/// The same for each of the optimizers.
template <class Changed>
void change_optimizers(StateDict& checkpoint, const Changed& changed) {
  if (!checkpoint.has_child("optimizer")) return;
  const Value numbers = checkpoint.child("optimizer").values;
  for (const auto& item : numbers.as_object()) {
    change_child(checkpoint, fmt::format("optimizer.{}", item.first), changed);
  }
}

}  // namespace

void require_layers_to_divide(const torch::nn::Module& module, std::string_view name) {
  if (dynamic_cast<const TensorParallelLayer*>(&module) != nullptr) return;
  for (const auto& each : module.modules(/*include_self=*/false)) {
    if (as_tensor_parallel(*each) != nullptr) return;
  }
  throw ModuleError::contract(
      name, "has no layer that can be divided among ranks",
      "make its large layers of levin::ColumnLinear and levin::RowLinear, or set tensor_size = 1");
}

DividedLayers::DividedLayers(torch::nn::Module& module, std::shared_ptr<ProcessGroup> group)
    : group_(std::move(group)) {
  if (auto* itself = as_tensor_parallel(module)) {
    itself->divide(group_);
    itself_ = itself;
  }
  std::unordered_set<const void*> seen;  // a layer may be registered in several places
  for (const auto& each : module.modules(/*include_self=*/false)) {
    auto* layer = as_tensor_parallel(*each);
    if (layer == nullptr || !seen.insert(layer).second) continue;
    layers_.push_back(each);
    layer->divide(group_);
  }
  shards_ = find_shards(module);
  for (const auto& item : module.named_parameters()) {
    if (shards_.contains(item.key())) parameters_.insert(item.value().unsafeGetTensorImpl());
  }
}

DividedLayers::~DividedLayers() {
  for (const auto& each : layers_) as_tensor_parallel(*each)->abandon();
}

void DividedLayers::abandon() noexcept {
  for (const auto& each : layers_) as_tensor_parallel(*each)->abandon();
  if (itself_ != nullptr) itself_->abandon();
}

void DividedLayers::join() {
  if (itself_ != nullptr) std::exchange(itself_, nullptr)->join();
  for (const auto& each : layers_) as_tensor_parallel(*each)->join();
  layers_.clear();
}

torch::Tensor DividedLayers::clip_grad_norm(
    const std::vector<torch::Tensor>& parameters, double max_norm,
    const std::function<torch::Tensor(const torch::Tensor& norm)>& join) const {
  std::vector<torch::Tensor> divided;
  std::vector<torch::Tensor> same;
  for (const auto& parameter : parameters) {
    (parameters_.contains(parameter.unsafeGetTensorImpl()) ? divided : same).push_back(parameter);
  }
  return clip_grad_norm_of_shards(divided, same, max_norm, *group_, join);
}

void gather_checkpoint(StateDict& checkpoint, const TensorShards& shards, bool is_divided,
                       ProcessGroup& group) {
  const auto gathered = [&](const StateDict& own) { return gather_shards(own, shards, group); };
  if (is_divided) change_child(checkpoint, "model", gathered);
  change_optimizers(checkpoint, gathered);
}

void take_from_checkpoint(StateDict& checkpoint, const TensorShards& shards) {
  const auto taken = [&](const StateDict& whole) { return take_shards(whole, shards); };
  change_child(checkpoint, "model", taken);
  change_optimizers(checkpoint, taken);
}

}  // namespace levin
