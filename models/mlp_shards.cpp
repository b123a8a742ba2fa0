// The part of MLP whose layers are divided among ranks.
#include <string>

#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/nn/tensor_parallel.h>
#include <levin/models/linear.h>
#include <levin/models/mlp.h>

namespace levin {

TensorShards MLP::shards_of(int64_t rank, int64_t ranks) const {
  refuse_parts("layers that are divided among ranks", "tensor_size");
  if (is_spread()) {
    throw ConfigError::conflict(
        fmt::format("tensor_size = {} with an MLP in a pipeline", ranks),
        "use one of pipeline_size and tensor_size, or a PipelineModule of your own with layers "
        "that can be divided, such as ColumnLinear");
  }
  TensorShards all;
  const auto divide = [&](size_t layer, int64_t features, const char* what, bool by_units) {
    const auto name = fmt::format("layer{}", layer);
    const auto range = shard_range(features, rank, ranks, what);
    all[name + ".weight"] = {.dimension = by_units ? 0 : 1, .range = range};
    if (by_units && options_.bias) all[name + ".bias"] = {.dimension = 0, .range = range};
  };
  if (layers_.size() == 1) divide(0, options_.in_features, "in_features", /*by_units=*/false);
  for (size_t i = 0; i + 1 < layers_.size(); i += 2) {
    divide(i, options_.hidden_sizes[i], "hidden_sizes", /*by_units=*/true);
    divide(i + 1, options_.hidden_sizes[i], "hidden_sizes", /*by_units=*/false);
  }
  return all;
}

torch::Tensor MLP::divided_parameter(const std::string& name) { return named_parameters()[name]; }

/// The dropout of hidden units, of which this rank has a part. All ranks draw for all units, so
/// that the same ones are left out as in one process.
torch::Tensor MLP::dropped_out(const torch::Tensor& units, const ShardRange* shard) const {
  if (options_.dropout == 0.0 || !is_training()) return units;
  if (shard == nullptr) return at::dropout(units, options_.dropout, /*train=*/true);
  const auto factors = at::dropout(at::ones({units.size(0), shard->whole}, units.options()),
                                   options_.dropout, /*train=*/true);
  return units * factors.narrow(1, shard->begin, shard->size());
}

torch::Tensor MLP::divided_forward(const torch::Tensor& input) {
  require_group("MLP");
  // Of the shape and type that flatten_for looks at; the first layer's weights may be divided.
  const auto whole = at::empty({0, options_.in_features}, layers_.front()->weight.options());
  auto x = flatten_for(whole, input);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& weight = layers_[i]->weight;
    const auto& bias = layers_[i]->bias;
    const auto found = shards().find(fmt::format("layer{}.weight", i));
    const TensorShard* shard = found == shards().end() ? nullptr : &found->second;
    const bool by_units = shard != nullptr && shard->dimension == 0;
    if (shard == nullptr) {
      x = linear(x, weight, bias);
    } else if (by_units) {
      x = linear(x.requires_grad() ? copy_to_shards(x, group()) : x, weight, bias);
    } else {
      const auto own = i == 0 ? split_into_shards(x, shard->range, group()) : x;
      x = sum_of_shards(levin::linear(own, weight), group());
      if (bias.defined()) x = x + bias;
    }
    if (i + 1 == layers_.size()) return x;
    x = dropped_out(activation_.function(x), by_units ? &shard->range : nullptr);
  }
  return x;
}

}  // namespace levin
