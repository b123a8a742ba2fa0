#include <levin/framework/strategies/pipeline_strategy.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/optimizers/per_parameter.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/has_layers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/packed_ranks.h>
#include <levin/framework/strategies/sparse_gradients.h>

namespace levin {
namespace {

constexpr int64_t kMicroBatchesOfARank = 4;
constexpr int64_t kRidersThatCountRows = 3;  // two for the rows, one for the loss

/// The options of the base class: stages have different buffers, so that it mustn't send them.
DataParallelOptions base_options(const PipelineStrategyOptions& given, int64_t world_size) {
  auto options = given.data_parallel;
  options.broadcast_buffers = false;
  options.mesh = options.mesh.value_or(MeshSizes{});
  options.mesh->pipeline = given.ranks;
  if (options.mesh->tensor == 1 && given.ranks > 0 && world_size % given.ranks != 0) {
    throw ConfigError::conflict(
        fmt::format("pipeline_size = {} with {}", given.ranks, counted(world_size, "rank")),
        "the ranks of a run make equally many pipelines: give a multiple of pipeline_size to "
        "devices");
  }
  return options;
}

PipelineOptions completed(const PipelineStrategyOptions& given) {
  PipelineOptions options{.schedule = given.schedule};
  const bool is_interleaved = given.schedule == "interleaved1f1b";
  options.chunks = given.chunks > 0 ? given.chunks : is_interleaved ? 2 : 1;
  options.micro_batches =
      given.micro_batches > 0 ? given.micro_batches : kMicroBatchesOfARank * given.ranks;
  return options;
}

HasLayers& checked_layers(Module& module) {
  auto* result = dynamic_cast<HasLayers*>(&module);
  if (result == nullptr) {
    throw ModuleError::contract(module.class_name(), "isn't a PipelineModule",
                                "derive it from PipelineModule, which says what its layers are, or "
                                "set pipeline_size = 1");
  }
  std::unordered_set<const void*> in_layers;
  for (const auto& parameter : result->layers()->parameters()) {
    in_layers.insert(parameter.unsafeGetTensorImpl());
  }
  for (const auto& item : module.named_parameters()) {
    if (in_layers.contains(item.value().unsafeGetTensorImpl())) continue;
    throw ModuleError::contract("layers", fmt::format("the parameter {} isn't in them", item.key()),
                                "in a pipeline, all parameters belong to layers of the chain");
  }
  if (has_sync_batch_norms(module)) {
    throw ModuleError::contract("layers", "one of them is a SyncBatchNorm",
                                "ranks of a pipeline have the same rows: use a batch norm of "
                                "LibTorch's");
  }
  return *result;
}

/// Marks all tensors of `state.<names...>` as whole tensors that this rank has.
void mark_all(StateDict& state, Value& values, const std::string& prefix) {
  for (const auto& [name, tensor] : state.tensors) {
    if (!name.starts_with(prefix)) continue;
    const TensorSlice slice{tensor.sizes().vec(), 0, tensor.numel()};
    values[kSlices][name.substr(prefix.size())] = to_value(slice);
  }
}

}  // namespace

PipelineStrategy::PipelineStrategy(const Cluster& cluster, at::Device device,
                                   PipelineStrategyOptions options)
    : DataParallelStrategy(cluster, device, base_options(options, cluster.world_size)),
      rank_(cluster.rank),
      pipeline_options_(completed(options)),
      sends_buffers_(options.data_parallel.broadcast_buffers),
      place_(groups()->place()) {
  if (!device.is_cpu()) {  // NCCL would have each rank wait for the other's receive
    throw ConfigError::conflict(fmt::format("pipeline_size = {} on a GPU", options.ranks),
                                "pipelines run on CPUs so far: use accelerator = cpu");
  }
  PipelineSchedule(pipeline_options_.schedule, {.ranks = options.ranks,
                                                .chunks = pipeline_options_.chunks,
                                                .micro_batches = pipeline_options_.micro_batches});
}

PipelineStrategy::~PipelineStrategy() = default;

void PipelineStrategy::setup(Module& module) {
  pipeline_.reset();
  reducer_.reset();
  auto& own = checked_layers(module);
  DataParallelStrategy::setup(module);
  names_.clear();
  for (const auto& [name, tensor] : module.state_dict().tensors) names_.insert(name);
  others_ = names_;
  pipeline_ = std::make_shared<Pipeline>(stages(), own.layers(), pipeline_options_, &heartbeat(),
                                         profiler_, &module);
  pipeline_->set_names(mesh()->group_of(MeshAxis::pipeline, rank_));
  own.set_pipeline(pipeline_);
  for (const auto& [name, tensor] : module.state_dict().tensors) others_.erase(name);
  DataParallelStrategy::divide_layers(module);
  if (has_replicas()) join_replicas(module);
}

/// Gets ready to sum the gradients of this rank's stages over the pipelines.
void PipelineStrategy::join_replicas(const Module& module) {
  buffers_.clear();
  if (sends_buffers_) buffers_ = module.buffers();
  std::vector<std::string> names;
  std::vector<torch::Tensor> parameters;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    names.push_back(item.key());
    parameters.push_back(item.value());
  }
  if (parameters.empty()) return;
  auto sparse = find_sparse_gradients(module, parameters);
  reducer_ = std::make_unique<GradientReducer>(replicas(), std::move(names), std::move(parameters),
                                               options().gradients, log(), std::move(sparse));
}

void PipelineStrategy::teardown(Module& module) {
  reducer_.reset();
  buffers_.clear();
  join_layers();
  if (pipeline_ != nullptr) {
    const Heartbeat::Waiting waiting(heartbeat());
    pipeline_->restore();
    dynamic_cast<HasLayers&>(module).set_pipeline(nullptr);
    pipeline_.reset();
  }
  DataParallelStrategy::teardown(module);
}

void PipelineStrategy::prepare_sums(const Module& /*module*/, std::vector<std::string> /*names*/,
                                    std::vector<torch::Tensor> /*parameters*/) {}

void PipelineStrategy::shard_optimizers(Optimizers& optimizers) {
  DataParallelStrategy::shard_optimizers(optimizers);
  for (const auto& entry : optimizers.entries()) {
    const auto& optimizer = *entry.optimizer;
    if (dynamic_cast<const PerParameterOptimizer*>(&optimizer) != nullptr) continue;
    throw ConfigError::conflict(
        fmt::format("the optimizer {} with pipeline_size = {}", optimizer.name(),
                    mesh()->sizes().pipeline),
        "each rank has parameters and a state of its own: use an optimizer of Levin's that changes "
        "each parameter by its own gradient (a PerParameterOptimizer), such as SGD or Adam");
  }
}

void PipelineStrategy::sum_by_optimizer(const Module& /*module*/,
                                        const Optimizers& /*optimizers*/) {
  throw ConfigError::conflict("a module that optimizes by hand with a pipeline",
                              "use pipeline_size = 1, or let automatic_optimization return true");
}

/// The gradients of a pipeline are complete on each of its ranks. They are summed over pipelines,
/// and what travels beside them over all ranks, of which those of a pipeline have the same rows.
torch::Tensor PipelineStrategy::sum_gradients(const torch::Tensor& loss,
                                              const torch::Tensor& riders,
                                              const std::function<void()>& backward) {
  torch::Tensor sums;
  if (reducer_) {
    sums = reducer_->run(loss, riders, backward).clone();
  } else {
    if (loss.defined()) backward();
    sums = riders.clone();
    if (has_replicas()) recorded_all_reduce(replicas(), sums, ExchangeKind::metrics);
  }
  const at::NoGradGuard no_grad;
  const double ready = files::monotonic_seconds();
  recorded_all_reduce(stages(), sums, ExchangeKind::metrics);
  if (profiler_ != nullptr) {  // ranks of the first stages make the last backward passes
    const double end = files::monotonic_seconds();
    profiler_->pipelined({.passes = {}, .begin = ready, .end = end, .waiting = end - ready});
  }
  sums.narrow(0, 0, kRidersThatCountRows).div_(mesh()->sizes().pipeline);
  if (!buffers_.empty()) recorded_broadcast(replicas(), buffers_, ExchangeKind::buffers);
  return sums;
}

torch::Tensor PipelineStrategy::clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                               double max_norm) {
  const auto of_all_stages = [this](const torch::Tensor& own) {
    return norm_over_ranks(stages(), own, device());
  };
  return divided() != nullptr ? divided()->clip_grad_norm(parameters, max_norm, of_all_stages)
                              : levin::clip_grad_norm(parameters, max_norm, 2.0, of_all_stages);
}

void PipelineStrategy::agree_on(torch::Tensor& flag) {
  group().all_reduce(flag, ProcessGroup::Op::max);
}

int64_t PipelineStrategy::sent_bytes() const {
  return (pipeline_ != nullptr ? pipeline_->figures().bytes : 0) +
         (reducer_ ? reducer_->bytes() : 0) + DataParallelStrategy::sent_bytes();
}

/// Throws ConfigError if a callback's state has copies of parameters: those of one rank would be
/// saved alone.
void PipelineStrategy::refuse_copies_of_weights(const StateDict& state) const {
  const StateDict callbacks = state.child("callbacks");
  for (const auto& item : callbacks.tensors) {
    const std::string& name = item.first;
    const bool is_copy = std::any_of(names_.begin(), names_.end(),
                                     [&](const auto& own) { return name.ends_with(own); });
    if (!is_copy) continue;
    throw ConfigError::conflict(
        fmt::format("a callback that keeps copies of weights ({}) with a pipeline", name),
        "a checkpoint would only have those of rank 0: leave the callback out");
  }
}

void PipelineStrategy::mark_own_tensors(StateDict& state) const {
  refuse_copies_of_weights(state);
  DataParallelStrategy::mark_own_tensors(state);
  if (rank_ == 0) return;                              // all of its tensors are written
  if (place_.data != 0 || place_.tensor != 0) return;  // another rank writes the same
  if (pipeline_ != nullptr) mark_all(state, state.values["model"], "model.");
  const StateDict optimizers = state.child("optimizer");
  if (!state.has_child("optimizer")) return;
  for (const auto& [number, values] : optimizers.values.as_object()) {
    mark_all(state, state.values["optimizer"][number], fmt::format("optimizer.{}.", number));
  }
}

StateDict PipelineStrategy::own_part_of(const StateDict& checkpoint) const {
  StateDict result = checkpoint;
  std::erase_if(result.tensors, [&](const auto& item) {
    std::string_view name = item.first;
    if (name.starts_with("model.")) return others_.contains(std::string(name.substr(6)));
    if (!name.starts_with("optimizer.")) return false;
    name.remove_prefix(10);
    name.remove_prefix(std::min(name.size(), name.find('.') + 1));  // the optimizer's number
    const auto parameter = name.substr(0, name.rfind('.'));         // without the state's name
    return others_.contains(std::string(parameter));
  });
  return DataParallelStrategy::own_part_of(result);
}

}  // namespace levin
