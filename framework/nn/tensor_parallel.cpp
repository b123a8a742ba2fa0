#include <levin/framework/nn/tensor_parallel.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

using ShardContext = torch::autograd::AutogradContext;
using ShardGradients = torch::autograd::variable_list;

/// What a backward pass needs besides tensors.
struct ShardPass : torch::CustomClassHolder {
  ShardPass(std::shared_ptr<ProcessGroup> group_, ShardRange shard_)
      : group(std::move(group_)), shard(shard_) {}
  std::shared_ptr<ProcessGroup> group;
  ShardRange shard;
};
using ShardPassPointer = c10::intrusive_ptr<ShardPass>;

void keep_pass(ShardContext* context, const ShardPassPointer& pass) {
  context->saved_data["pass"] = c10::IValue::make_capsule(pass);
}

/// The pass that `keep_pass` has kept.
ShardPassPointer kept_pass(ShardContext* context) {
  return c10::static_intrusive_pointer_cast<ShardPass>(context->saved_data["pass"].toCapsule());
}

torch::Tensor group_sum(const torch::Tensor& own, ProcessGroup& group) {
  auto sum = own.clone(at::MemoryFormat::Contiguous);
  recorded_all_reduce(group, sum, ExchangeKind::tensor_parts);
  return sum;
}

torch::Tensor part_of_last_dimension(const torch::Tensor& whole, const ShardRange& shard) {
  return whole.narrow(-1, shard.begin, shard.size());
}

/// Gathers parts that differ in size by at most one, each filled up to the size of the largest.
torch::Tensor joined_parts(const torch::Tensor& own, const ShardRange& shard, ProcessGroup& group) {
  const int64_t ranks = group.world_size();
  const int64_t largest = (shard.whole + ranks - 1) / ranks;
  auto padded = own;
  if (own.size(-1) < largest) padded = at::constant_pad_nd(own, {0, largest - own.size(-1)});
  const auto all = recorded_all_gather(group, padded, ExchangeKind::tensor_parts);
  std::vector<torch::Tensor> parts;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const auto size = shard_range(shard.whole, rank, ranks, "the dimension").size();
    parts.push_back(all[rank].narrow(-1, 0, size));
  }
  return at::cat(parts, -1);
}

// Two pairs of functions, each of which is the other one's backward pass, so that derivatives of
// any order are right.

class CopyToShards : public torch::autograd::Function<CopyToShards> {
 public:
  static torch::Tensor forward(ShardContext* context, const torch::Tensor& input,
                               const ShardPassPointer& pass) {
    keep_pass(context, pass);
    return input.view_as(input);
  }
  static ShardGradients backward(ShardContext* context, const ShardGradients& gradients);
};

class SumOfShards : public torch::autograd::Function<SumOfShards> {
 public:
  static torch::Tensor forward(ShardContext* context, const torch::Tensor& input,
                               const ShardPassPointer& pass) {
    keep_pass(context, pass);
    return group_sum(input, *pass->group);
  }
  static ShardGradients backward(ShardContext* context, const ShardGradients& gradients);
};

class JoinShards : public torch::autograd::Function<JoinShards> {
 public:
  static torch::Tensor forward(ShardContext* context, const torch::Tensor& input,
                               const ShardPassPointer& pass) {
    keep_pass(context, pass);
    return joined_parts(input, pass->shard, *pass->group);
  }
  static ShardGradients backward(ShardContext* context, const ShardGradients& gradients);
};

class SplitIntoShards : public torch::autograd::Function<SplitIntoShards> {
 public:
  static torch::Tensor forward(ShardContext* context, const torch::Tensor& input,
                               const ShardPassPointer& pass) {
    keep_pass(context, pass);
    return part_of_last_dimension(input, pass->shard).contiguous();
  }
  static ShardGradients backward(ShardContext* context, const ShardGradients& gradients);
};

ShardGradients CopyToShards::backward(ShardContext* context, const ShardGradients& gradients) {
  return {SumOfShards::apply(gradients[0], kept_pass(context)), {}};
}

ShardGradients SumOfShards::backward(ShardContext* context, const ShardGradients& gradients) {
  return {CopyToShards::apply(gradients[0], kept_pass(context)), {}};
}

ShardGradients JoinShards::backward(ShardContext* context, const ShardGradients& gradients) {
  return {SplitIntoShards::apply(gradients[0], kept_pass(context)), {}};
}

ShardGradients SplitIntoShards::backward(ShardContext* context, const ShardGradients& gradients) {
  return {JoinShards::apply(gradients[0], kept_pass(context)), {}};
}

[[noreturn]] void refuse_logits(const std::string& problem, const std::string& hint) {
  throw ModuleError::contract("class_parallel_cross_entropy", problem, hint);
}

void require_logits(const torch::Tensor& own, const torch::Tensor& targets,
                    const ShardRange& classes) {
  if (own.dim() != 2 || own.size(1) != classes.size() || targets.dim() != 1 ||
      targets.size(0) != own.size(0)) {
    refuse_logits(
        fmt::format("was given logits [{}] and targets [{}] for a rank with {} of {} classes",
                    fmt::join(own.sizes(), ", "), fmt::join(targets.sizes(), ", "), classes.size(),
                    classes.whole),
        fmt::format("give logits [rows, {}] and targets [rows]", classes.size()));
  }
  if (!targets.is_cpu() || targets.numel() == 0) return;  // reading them would wait for a GPU
  const auto least = targets.min().item<int64_t>();
  const auto most = targets.max().item<int64_t>();
  if (least >= 0 && most < classes.whole) return;
  refuse_logits(fmt::format("was given the target {}", least < 0 ? least : most),
                fmt::format("give classes from 0 to {}", classes.whole - 1));
}

bool is_whole(const std::shared_ptr<ProcessGroup>& group) {
  return group == nullptr || group->world_size() == 1;
}

ShardPassPointer pass_of(const std::shared_ptr<ProcessGroup>& group, const ShardRange& shard = {}) {
  return c10::make_intrusive<ShardPass>(group, shard);
}

}  // namespace

ShardRange shard_range(int64_t whole, int64_t rank, int64_t ranks, std::string_view what) {
  if (whole < ranks) {
    throw ConfigError::conflict(
        fmt::format("{} = {} with {} ranks that each have a part", what, whole, ranks),
        fmt::format("choose at least {}, or a smaller tensor group", ranks));
  }
  const int64_t least = whole / ranks;
  const int64_t larger = whole % ranks;  // the number of ranks that have one more
  const auto start = [&](int64_t of) { return of * least + std::min(of, larger); };
  return {.whole = whole, .begin = start(rank), .end = start(rank + 1)};
}

torch::Tensor copy_to_shards(const torch::Tensor& input,
                             const std::shared_ptr<ProcessGroup>& group) {
  return is_whole(group) ? input : CopyToShards::apply(input, pass_of(group));
}

torch::Tensor sum_of_shards(const torch::Tensor& own, const std::shared_ptr<ProcessGroup>& group) {
  return is_whole(group) ? own : SumOfShards::apply(own, pass_of(group));
}

torch::Tensor join_shards(const torch::Tensor& own, const ShardRange& shard,
                          const std::shared_ptr<ProcessGroup>& group) {
  return is_whole(group) ? own : JoinShards::apply(own, pass_of(group, shard));
}

torch::Tensor split_into_shards(const torch::Tensor& input, const ShardRange& shard,
                                const std::shared_ptr<ProcessGroup>& group) {
  return is_whole(group) ? input : SplitIntoShards::apply(input, pass_of(group, shard));
}

torch::Tensor class_parallel_cross_entropy(const torch::Tensor& own, const torch::Tensor& targets,
                                           const ShardRange& classes,
                                           const std::shared_ptr<ProcessGroup>& group) {
  require_logits(own, targets, classes);
  auto largest = own.detach().amax(1);
  if (!is_whole(group)) {
    recorded_all_reduce(*group, largest, ExchangeKind::tensor_parts, ProcessGroup::Op::max);
  }
  // The largest logit counts as a constant, because the loss doesn't depend on it.
  const auto shifted = own - largest.unsqueeze(1);
  const auto is_other = targets.lt(classes.begin).logical_or_(targets.ge(classes.end));
  const auto places = (targets - classes.begin).masked_fill_(is_other, 0);
  const auto of_target = shifted.gather(1, places.unsqueeze(1)).squeeze(1);
  const auto sums =
      sum_of_shards(at::stack({shifted.exp().sum(1), of_target.masked_fill(is_other, 0.0)}), group);
  return sums[0].log() - sums[1];
}

}  // namespace levin
