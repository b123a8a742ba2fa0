// The part of DataParallelStrategy for ranks that share a model.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/optimizers/per_parameter.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/packed_ranks.h>

namespace levin {
namespace {

/// Throws ConfigError if a callback's state has a copy of a divided parameter, of which a
/// checkpoint would have rank 0's part alone.
void refuse_copies_of_parts(const StateDict& state, const TensorShards& shards) {
  const StateDict callbacks = state.child("callbacks");
  for (const auto& item : callbacks.tensors) {
    const std::string& name = item.first;
    const bool is_copy = std::any_of(shards.begin(), shards.end(), [&](const auto& shard) {
      return name.ends_with(shard.first);
    });
    if (!is_copy) continue;
    throw ConfigError::conflict(
        fmt::format("a callback that keeps copies of weights ({}) with layers that are divided "
                    "among ranks",
                    name),
        "a checkpoint would only have the parts of rank 0: leave the callback out");
  }
}

}  // namespace

void DataParallelStrategy::divide_layers(Module& module) {
  if (!shares_layers()) return;
  divided_ = std::make_unique<DividedLayers>(module, groups_->tensor());
  shards_ = divided_->shards();
  parts_at_setup_ = groups_->tensor()->exchanges().bytes_sent(ExchangeKind::tensor_parts);
}

/// What the layers that are divided have sent since `setup`.
int64_t DataParallelStrategy::sent_parts() const {
  if (!shares_layers()) return 0;
  return groups_->tensor()->exchanges().bytes_sent(ExchangeKind::tensor_parts) - parts_at_setup_;
}

void DataParallelStrategy::join_layers() {
  if (divided_ == nullptr) return;
  const Heartbeat::Waiting waiting(heartbeat_);
  divided_->join();
  divided_.reset();
}

void DataParallelStrategy::shard_optimizers(Optimizers& optimizers) {
  if (!shares_layers()) return;
  for (const auto& entry : optimizers.entries()) {
    const auto* own = dynamic_cast<const PerParameterOptimizer*>(entry.optimizer.get());
    if (own != nullptr && own->is_elementwise()) continue;
    throw ConfigError::conflict(
        fmt::format("the optimizer {} with tensor_size = {}", entry.optimizer->name(),
                    groups_->mesh().sizes().tensor),
        "ranks have parts of parameters: use an optimizer of Levin's that changes each number by "
        "its own gradient (a PerParameterOptimizer that is elementwise), such as SGD or Adam");
  }
}

/// The ranks of a tensor group have the same rows and losses, but a signal may reach one of them
/// alone.
void DataParallelStrategy::agree_on_flags() {
  const at::NoGradGuard no_grad;
  sums_ = sums_.clone();  // its memory may be that of a bucket
  const auto flags = sums_.narrow(0, RiderCopies::kFlags, StepFlags::kNumbers);
  recorded_all_reduce(*groups_->tensor(), flags, ExchangeKind::metrics, ProcessGroup::Op::max);
}

void DataParallelStrategy::mark_own_tensors(StateDict& state) const {
  if (!shares_layers()) return;
  refuse_copies_of_parts(state, shards_);
  gather_checkpoint(state, shards_, divided_ != nullptr, *groups_->tensor());
}

StateDict DataParallelStrategy::own_part_of(const StateDict& checkpoint) const {
  StateDict own = checkpoint;
  if (divided_ != nullptr) take_from_checkpoint(own, shards_);
  return own;
}

torch::Tensor DataParallelStrategy::clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                                   double max_norm) {
  return divided_ == nullptr ? levin::clip_grad_norm(parameters, max_norm)
                             : divided_->clip_grad_norm(parameters, max_norm);
}

void DataParallelStrategy::agree_on(torch::Tensor& flag) {
  if (!shares_layers()) return;
  recorded_all_reduce(group_, flag, ExchangeKind::metrics, ProcessGroup::Op::max);
}

void DataParallelStrategy::combine(PackedMetrics& metrics) {
  const Heartbeat::Waiting waiting(heartbeat_);
  const auto all = gather_metrics(group_, metrics);
  if (groups_ == nullptr) return combine_ranks(metrics, all);
  const auto& sizes = groups_->mesh().sizes();
  const auto mesh = all.reshape({sizes.pipeline, sizes.data, sizes.tensor, -1});
  std::vector<torch::Tensor> models;
  for (int64_t model = 0; model < sizes.data; ++model) {
    take_first_logged(metrics, mesh.select(1, model).flatten(0, 1));
    models.push_back(packed_values(metrics));
  }
  combine_ranks(metrics, at::stack(models));
}

}  // namespace levin
