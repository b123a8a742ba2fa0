#include <levin/framework/nn/parallel_linear.h>

#include <string>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/linear.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

ShardRange range_in(const ProcessGroup& group, int64_t whole, const char* name) {
  if (!group.is_member()) {
    throw ConfigError::conflict(
        fmt::format("a tensor-parallel layer on rank {}, which isn't in its tensor group",
                    group.global_rank()),
        "make the layer on the ranks of the group only");
  }
  return shard_range(whole, group.rank(), group.world_size(), name);
}

void require_feature_count(int64_t size, const char* name) {
  if (size < 1) throw ConfigError::invalid_value(name, std::to_string(size), "must be at least 1");
}

void require_features(const char* layer, const torch::Tensor& input, int64_t features) {
  if (input.dim() > 0 && input.size(-1) == features) return;
  throw ModuleError::contract(
      fmt::format("{}.forward", layer),
      fmt::format("was given [{}] for [..., {}]", fmt::join(input.sizes(), ", "), features),
      "give as many features as this rank takes");
}

/// The part of a whole parameter that this rank keeps, in memory of its own.
torch::Tensor kept_shard(const torch::Tensor& whole, int64_t dimension, const ShardRange& shard) {
  return whole.detach()
      .narrow(dimension, shard.begin, shard.size())
      .clone(at::MemoryFormat::Contiguous);
}

}  // namespace

ColumnLinearImpl::ColumnLinearImpl(ColumnLinearOptions options_,
                                   std::shared_ptr<ProcessGroup> group)
    : options(options_), group_(std::move(group)) {
  require_feature_count(options.in_features, "in_features");
  require_feature_count(options.out_features, "out_features");
  shard = range_in(*group_, options.out_features, "out_features");
  reset();
}

void ColumnLinearImpl::reset() {
  const torch::nn::Linear whole(
      torch::nn::LinearOptions(options.in_features, options.out_features).bias(options.bias));
  weight = register_parameter("weight", kept_shard(whole->weight, 0, shard));
  bias = register_parameter(
      "bias", options.bias ? kept_shard(whole->bias, 0, shard) : torch::Tensor(), options.bias);
}

torch::Tensor ColumnLinearImpl::forward(const torch::Tensor& input) {
  require_features("ColumnLinear", input, options.in_features);
  const auto own = at::linear(copy_to_shards(input, group_), weight, bias);
  return options.gather_output ? join_shards(own, shard, group_) : own;
}

TensorShards ColumnLinearImpl::shards() const {
  TensorShards all{{"weight", {.dimension = 0, .range = shard}}};
  if (options.bias) all["bias"] = {.dimension = 0, .range = shard};
  return all;
}

RowLinearImpl::RowLinearImpl(RowLinearOptions options_, std::shared_ptr<ProcessGroup> group)
    : options(options_), group_(std::move(group)) {
  require_feature_count(options.in_features, "in_features");
  require_feature_count(options.out_features, "out_features");
  shard = range_in(*group_, options.in_features, "in_features");
  reset();
}

void RowLinearImpl::reset() {
  const torch::nn::Linear whole(
      torch::nn::LinearOptions(options.in_features, options.out_features).bias(options.bias));
  weight = register_parameter("weight", kept_shard(whole->weight, 1, shard));
  bias = register_parameter("bias", options.bias ? whole->bias.detach().clone() : torch::Tensor(),
                            options.bias);
}

torch::Tensor RowLinearImpl::forward(const torch::Tensor& input) {
  require_features("RowLinear", input,
                   options.input_is_parallel ? shard.size() : options.in_features);
  const auto own = options.input_is_parallel ? input : split_into_shards(input, shard, group_);
  const auto sum = sum_of_shards(at::linear(own, weight), group_);
  return bias.defined() ? sum + bias : sum;
}

TensorShards RowLinearImpl::shards() const {
  return {{"weight", {.dimension = 1, .range = shard}}};
}

}  // namespace levin
