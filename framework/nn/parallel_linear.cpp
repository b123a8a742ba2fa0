#include <levin/framework/nn/parallel_linear.h>

#include <string>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/linear.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

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

ShardRange whole_range(int64_t features) {
  return {.whole = features, .begin = 0, .end = features};
}

/// This rank's range of the divided weight, or all of it if the layer is whole.
ShardRange range_of(const TensorShards& shards, int64_t features) {
  return shards.empty() ? whole_range(features) : shards.at("weight").range;
}

/// The parameters of torch::nn::Linear, with the values that it begins with.
torch::nn::Linear whole_linear(int64_t in_features, int64_t out_features, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in_features, out_features).bias(bias));
}

}  // namespace

ColumnLinearImpl::ColumnLinearImpl(ColumnLinearOptions options_,
                                   std::shared_ptr<ProcessGroup> group)
    : options(options_) {
  require_feature_count(options.in_features, "in_features");
  require_feature_count(options.out_features, "out_features");
  reset();
  if (group != nullptr) divide(std::move(group));
}

void ColumnLinearImpl::reset() {
  const auto whole = whole_linear(options.in_features, options.out_features, options.bias);
  weight = register_parameter("weight", whole->weight.detach());
  bias = register_parameter("bias", options.bias ? whole->bias.detach() : torch::Tensor(),
                            options.bias);
  shards_changed();
}

void ColumnLinearImpl::shards_changed() { shard = range_of(shards(), options.out_features); }

torch::Tensor ColumnLinearImpl::forward(const torch::Tensor& input) {
  require_group("ColumnLinear");
  require_features("ColumnLinear", input, options.in_features);
  const auto own = at::linear(copy_to_shards(input, group()), weight, bias);
  return options.gather_output ? join_shards(own, shard, group()) : own;
}

TensorShards ColumnLinearImpl::shards_of(int64_t rank, int64_t ranks) const {
  const auto range = shard_range(options.out_features, rank, ranks, "out_features");
  TensorShards all{{"weight", {.dimension = 0, .range = range}}};
  if (options.bias) all["bias"] = {.dimension = 0, .range = range};
  return all;
}

RowLinearImpl::RowLinearImpl(RowLinearOptions options_, std::shared_ptr<ProcessGroup> group)
    : options(options_) {
  require_feature_count(options.in_features, "in_features");
  require_feature_count(options.out_features, "out_features");
  reset();
  if (group != nullptr) divide(std::move(group));
}

void RowLinearImpl::reset() {
  const auto whole = whole_linear(options.in_features, options.out_features, options.bias);
  weight = register_parameter("weight", whole->weight.detach());
  bias = register_parameter("bias", options.bias ? whole->bias.detach() : torch::Tensor(),
                            options.bias);
  shards_changed();
}

void RowLinearImpl::shards_changed() { shard = range_of(shards(), options.in_features); }

torch::Tensor RowLinearImpl::forward(const torch::Tensor& input) {
  require_group("RowLinear");
  require_features("RowLinear", input,
                   options.input_is_parallel ? shard.size() : options.in_features);
  if (group() == nullptr) return at::linear(input, weight, bias);
  const auto own = options.input_is_parallel ? input : split_into_shards(input, shard, group());
  const auto sum = sum_of_shards(at::linear(own, weight), group());
  return bias.defined() ? sum + bias : sum;
}

TensorShards RowLinearImpl::shards_of(int64_t rank, int64_t ranks) const {
  return {
      {"weight",
       {.dimension = 1, .range = shard_range(options.in_features, rank, ranks, "in_features")}}};
}

}  // namespace levin
