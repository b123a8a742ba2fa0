#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The exchanges of tensor parallelism as functions that autograd differentiates. The ranks of
/// `group`, the tensor group, have the same rows and different parts of the weights, and compute
/// the same loss. All calls are collectives, and so are their backward passes; all ranks have to
/// run both in the same order. Without a group (null), or in one of a single rank, everything is
/// whole: they exchange nothing. Derivatives of higher order are exact, too. ColumnLinear and
/// RowLinear (parallel_linear.h) are made of these. Source: Megatron-LM, arXiv 1909.08053.

/// The features or classes [begin, end) of `whole`, which one rank has.
struct ShardRange {
  int64_t whole = 0;
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  friend bool operator==(const ShardRange&, const ShardRange&) = default;
};

/// Divides the numbers from 0 to `whole` - 1 evenly among `ranks` ranks, in their order, and
/// returns the share of `rank`. Shares differ by at most one. Throws ConfigError if a rank would
/// have none; `what`, such as "out_features", is how the message names the numbers.
ShardRange shard_range(int64_t whole, int64_t rank, int64_t ranks, std::string_view what);

/// Returns `input`, which is the same on all ranks of the group; each of them uses it for its own
/// part of a result. The backward pass sums its gradient over the group.
torch::Tensor copy_to_shards(const torch::Tensor& input,
                             const std::shared_ptr<ProcessGroup>& group);

/// Returns the sum over the group of `own`, of the same shape on all ranks, for a computation that
/// is the same on all of them. The backward pass exchanges nothing.
torch::Tensor sum_of_shards(const torch::Tensor& own, const std::shared_ptr<ProcessGroup>& group);

/// Joins the last dimension of `own`, [..., shard.size()], over the group: [..., shard.whole], for
/// a computation that is the same on all ranks. The backward pass exchanges nothing.
torch::Tensor join_shards(const torch::Tensor& own, const ShardRange& shard,
                          const std::shared_ptr<ProcessGroup>& group);

/// Returns this rank's part of the last dimension of `input`, [..., shard.whole], which is the same
/// on all ranks: [..., shard.size()]. The backward pass joins the parts of the gradient.
torch::Tensor split_into_shards(const torch::Tensor& input, const ShardRange& shard,
                                const std::shared_ptr<ProcessGroup>& group);

/// The cross entropy of each row, [rows], of logits of which each rank has those of its own
/// classes, `own`, [rows, classes.size()]; `targets`, [rows] int64, are the same on all ranks, from
/// 0 to classes.whole - 1. All ranks get the same losses. Sends 3 numbers for each row, instead of
/// one for each row and class: the largest logit, and the sums of exponentials and of the target's
/// logit. The backward pass exchanges nothing. Throws ModuleError if a shape doesn't fit, and, if
/// they are on the CPU, if a target isn't a class.
///
///     const auto own = column_linear(input);                     // doesn't join its output
///     const auto losses = class_parallel_cross_entropy(own, targets, column_linear->shard,
///                                                      column_linear->group());
torch::Tensor class_parallel_cross_entropy(const torch::Tensor& own, const torch::Tensor& targets,
                                           const ShardRange& classes,
                                           const std::shared_ptr<ProcessGroup>& group);

}  // namespace levin
