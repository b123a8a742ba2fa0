#include <levin/framework/strategies/sharded.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/collectives/recorded.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/run/module.h>

namespace levin {

ShardedStrategy::ShardedStrategy(const Cluster& cluster, at::Device device, ShardedOptions options)
    : DataParallelStrategy(cluster, device, std::move(options.data_parallel)),
      stage_(options.stage) {
  if (stage_ < 1 || stage_ > 3) {
    throw ConfigError::invalid_value("stage", fmt::to_string(stage_), "must be 1, 2 or 3");
  }
  const auto& compression = this->options().gradients.compression;
  if (stage_ >= 2 && packs_gradients(compression)) {
    throw ConfigError::conflict(fmt::format("compression = {} in stage {}, which sums parts of "
                                            "gradients",
                                            compression.name, stage_),
                                "use stage 1, or fp16 or bf16");
  }
}

ShardedStrategy::~ShardedStrategy() = default;

void ShardedStrategy::setup(Module& module) {
  scatter_.reset();
  flat_.reset();
  divided_.reset();
  is_forward_ = is_backward_ = false;
  fixed_.clear();
  for (const auto& parameter : module.parameters()) {
    if (!parameter.requires_grad()) fixed_.push_back(parameter);
  }
  DataParallelStrategy::setup(module);
}

void ShardedStrategy::prepare_sums(const Module& module, std::vector<std::string> names,
                                   std::vector<torch::Tensor> parameters) {
  const auto& gradients = options().gradients;
  // Stage 1 sends nothing from these buffers during backward, so one for each type will do.
  const double bytes = stage_ == 1 ? 0.0 : gradients.bucket_cap_mb * 1024.0 * 1024.0;
  if (stage_ == 3) {
    refuse_joined_norms(module);
    if (group().world_size() > 1 && !gathering_) {
      gathering_ = std::make_unique<ProcessGroup>(group(), "parameters");
    }
    NamedTensors all;
    for (const auto& item : module.named_parameters()) all.emplace_back(item.key(), item.value());
    divided_ = std::make_unique<DividedParameters>(
        gathering_.get(), all,
        DividedParameters::Options{.unit_bytes = std::max<int64_t>(1, static_cast<int64_t>(bytes)),
                                   .on_wait = [this](bool waits) { note_wait(waits); }});
    scatter_ = std::make_unique<GradientScatter>(group(), std::move(names), *divided_->trained(),
                                                 gradients, log());
    return;
  }
  flat_ = std::make_unique<FlatParameters>(parameters, group().rank(), group().world_size(),
                                           static_cast<int64_t>(bytes));
  if (stage_ == 1) {
    DataParallelStrategy::prepare_sums(module, std::move(names), std::move(parameters));
  } else {
    scatter_ =
        std::make_unique<GradientScatter>(group(), std::move(names), *flat_, gradients, log());
  }
}

/// A rank without rows would have to gather layers while it stands in for their batch norms.
void ShardedStrategy::refuse_joined_norms(const Module& module) {
  const bool has_norms = options().sync_batchnorm || has_sync_batch_norms(module);
  if (!has_norms || group().world_size() == 1) return;
  throw ConfigError::conflict("strategy = zero_stage_3 with batch norms over all ranks",
                              "use strategy = zero_stage_2, or batch norms of each rank");
}

void ShardedStrategy::shard_optimizers(Optimizers& optimizers) {
  for (auto& entry : optimizers.entries()) {
    auto own = slices_of(*entry.optimizer, flat(), fixed_);
    entry.optimizer->shard(std::move(own), [this] {
      if (divided_) return flat()->note_changes();
      if (flat_) gather_changes();
    });
  }
}

/// Gives all ranks what each has changed in a step.
void ShardedStrategy::gather_changes() {
  int64_t bytes = 0;  // this rank's chunks
  for (const auto& buffer : flat_->buffers()) bytes += buffer.chunk * buffer.flat.element_size();
  const auto sent = ExchangeLog::gathered_bytes(bytes, group().world_size());
  group().exchanges().record(ExchangeKind::parameters, sent, [&] { flat_->all_gather(group()); });
}

/// Puts this rank's slices in the place of the module's parameters, which no rank has whole.
void ShardedStrategy::mark_own_tensors(StateDict& state) const {
  if (!divided_) return;
  const std::string prefix = "model.";
  Value& values = state.values["model"];
  for (auto it = state.tensors.begin(); it != state.tensors.end();) {
    const auto& [name, tensor] = *it;
    const auto* own = name.starts_with(prefix) ? divided_->slice_of(tensor) : nullptr;
    if (own == nullptr) {
      ++it;
      continue;
    }
    if (!own->tensor.defined()) {
      it = state.tensors.erase(it);
      continue;
    }
    const TensorSlice slice{tensor.sizes().vec(), own->begin, own->begin + own->tensor.numel()};
    values[kSlices][name.substr(prefix.size())] = to_value(slice);
    it->second = own->tensor;
    ++it;
  }
}

torch::Tensor ShardedStrategy::sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                                             const std::function<void()>& backward) {
  if (divided_) return scatter_->run(loss, riders, backward, [this] { end_backward(); });
  if (scatter_) return scatter_->run(loss, riders, backward);
  const auto sums = DataParallelStrategy::sum_gradients(loss, riders, backward);
  give_slices_gradients();
  return sums;
}

void ShardedStrategy::begin_forward() {
  if (!divided_ || is_forward_) return;
  is_forward_ = true;
  divided_->begin(DividedParameters::Pass::forward);
}

std::optional<double> ShardedStrategy::backward(Module& module, const torch::Tensor& loss,
                                                double weight, std::optional<double> window_rows) {
  if (!divided_) return DataParallelStrategy::backward(module, loss, weight, window_rows);
  begin_forward();  // on a rank that has made no forward pass
  divided_->end();
  is_forward_ = false;
  is_backward_ = true;
  divided_->begin(DividedParameters::Pass::backward);
  const auto rows = DataParallelStrategy::backward(module, loss, weight, window_rows);
  end_backward();
  return rows;
}

/// Tells the heartbeat that this rank waits for the others.
void ShardedStrategy::note_wait(bool waits) {
  waits ? static_cast<void>(waiting_.emplace(heartbeat())) : waiting_.reset();
}

/// Takes part in what other ranks still gather for this backward pass.
void ShardedStrategy::end_backward() {
  if (std::exchange(is_backward_, false)) divided_->end();
}

int64_t ShardedStrategy::sent_bytes() const {
  if (divided_) return scatter_->bytes() + divided_->sent_bytes();
  return scatter_ ? scatter_->bytes() : DataParallelStrategy::sent_bytes();
}

/// Makes the slices' gradients views into the whole gradients, so that whatever changes the whole
/// ones before the step (clipping, for example) changes those of the slices.
void ShardedStrategy::give_slices_gradients() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < flat_->parameters().size(); ++i) {
    const auto& slice = flat_->slices()[i];
    if (!slice.tensor.defined()) continue;
    auto& whole = flat_->parameters()[i].mutable_grad();
    auto& gradient = slice.tensor.mutable_grad();
    gradient.reset();
    if (!whole.defined()) continue;
    if (whole.layout() != at::kStrided) {
      throw ModuleError::contract("backward", "gave a parameter a sparse gradient",
                                  "use strategy = ddp, or make the gradient dense");
    }
    if (!whole.is_contiguous()) whole = whole.contiguous();
    gradient = whole.view({-1}).narrow(0, slice.begin, slice.tensor.numel());
  }
}

std::vector<torch::Tensor> ShardedStrategy::with_gradients(const Optimizer& optimizer) const {
  return stage_ == 1 ? DataParallelStrategy::with_gradients(optimizer) : optimizer.stepped();
}

torch::Tensor ShardedStrategy::clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                              double max_norm) {
  if (stage_ == 1) return levin::clip_grad_norm(parameters, max_norm);
  return levin::clip_grad_norm(parameters, max_norm, 2.0, [this](const torch::Tensor& own) {
    return norm_over_ranks(group(), own, device());
  });
}

void ShardedStrategy::agree_on(torch::Tensor& flag) {
  if (stage_ >= 2) group().all_reduce(flag, ProcessGroup::Op::max);
}

void ShardedStrategy::teardown(Module& module) {
  if (divided_) divided_->release();
  if (flat_) flat_->release();
  scatter_.reset();
  flat_.reset();
  divided_.reset();
  DataParallelStrategy::teardown(module);
}

}  // namespace levin
