#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/collectives/gloo.h>
#include <levin/framework/core/error.h>
#include <levin/framework/deadline/gradient_deadline.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/launch/launcher.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/strategies/averaging.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/deadline_strategy.h>
#include <levin/framework/strategies/parameter_server_strategy.h>
#include <levin/framework/strategies/pipeline_strategy.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/strategies/single_device.h>
#include <levin/framework/tensor/device.h>

namespace levin {
namespace {

/// Starts the ranks, watches them until they end, and ends this process with their status.
[[noreturn]] void launch_and_exit(const TrainerOptions& options, size_t devices) {
  std::fflush(nullptr);
  const int status = launch({.processes = static_cast<int64_t>(devices),
                             .max_restarts = options.max_restarts,
                             .grace_seconds = 0.5});
  std::fflush(nullptr);
  ::_exit(status);  // no destructors: the ranks, not this process, use what was made
}

DataParallelOptions options_of(const TrainerOptions& options) {
  std::optional<MeshSizes> mesh;
  if (options.tensor_size > 1) mesh = MeshSizes{.tensor = options.tensor_size};
  return {.process_group = {.backend = options.process_group_backend,
                            .timeout = options.process_group_timeout},
          .gradients = {.find_unused_parameters = options.find_unused_parameters,
                        .gradient_as_bucket_view = options.gradient_as_bucket_view,
                        .bucket_cap_mb = options.bucket_cap_mb,
                        .compression = options.gradient_compression},
          .broadcast_buffers = options.broadcast_buffers,
          .sync_batchnorm = options.sync_batchnorm,
          .heartbeat_timeout = options.heartbeat_timeout,
          .mesh = mesh};
}

std::optional<int64_t> zero_stage(std::string_view strategy) {
  if (strategy == "zero_stage_1") return 1;
  if (strategy == "zero_stage_2") return 2;
  if (strategy == "zero_stage_3") return 3;
  return {};
}

/// Throws ConfigError if ranks shall share a model, of which there is only one.
void refuse_to_share_alone(const TrainerOptions& options) {
  const int64_t ranks = options.pipeline_size * options.tensor_size;
  if (ranks == 1) return;
  throw ConfigError::conflict(
      options.pipeline_size > 1
          ? fmt::format("pipeline_size = {} with one device", options.pipeline_size)
          : fmt::format("tensor_size = {} with one device", options.tensor_size),
      fmt::format("set devices = {} or, on the CPU, start as many processes", ranks));
}

void check_sizes(const TrainerOptions& options, const Cluster& cluster, size_t devices) {
  const auto given = static_cast<int64_t>(devices);
  if (options.strategy == "single_device") {
    throw ConfigError::conflict(
        fmt::format("strategy = single_device in {} processes", cluster.world_size),
        "use strategy = auto or ddp, or start one process");
  }
  if (given != 1 && given != cluster.local_world_size) {
    throw ConfigError::conflict(
        fmt::format("devices = {}, but {} started {} processes on this host", given,
                    name_of(cluster.kind), cluster.local_world_size),
        "give the same number to both");
  }
  if (options.num_nodes != 1 && options.num_nodes != cluster.num_nodes) {
    throw ConfigError::conflict(fmt::format("num_nodes = {}, but {} started {}", options.num_nodes,
                                            name_of(cluster.kind), cluster.num_nodes),
                                "give the same number to both");
  }
}

}  // namespace

std::unique_ptr<Strategy> make_strategy(const TrainerOptions& options) {
  auto cluster = find_cluster();
  const auto devices = parse_devices(options.accelerator, options.devices);
  const bool is_alone = !cluster || cluster->world_size == 1;
  const bool wants_many = devices.size() > 1 || options.num_nodes > 1;
  const bool averages = averages_models(options.model_averaging);
  if (is_alone && !wants_many) refuse_to_share_alone(options);
  if (is_alone && (options.strategy == "auto" || options.strategy == "single_device") &&
      !wants_many && !averages) {
    return std::make_unique<SingleDeviceStrategy>(devices.front(), std::move(cluster));
  }
  if (!has_gloo()) {
    throw ConfigError::conflict("strategy = ddp, but this build has no Gloo, which joins processes",
                                "install libgloo-dev and build again, or train on one device");
  }
  if (is_alone && wants_many) {
    if (options.strategy == "single_device") {
      throw ConfigError::conflict("strategy = single_device with more than one device",
                                  "use strategy = auto or ddp, or one device");
    }
    if (options.num_nodes > 1) {
      throw ConfigError::conflict(
          fmt::format("num_nodes = {}, but this process is the only one of its job",
                      options.num_nodes),
          "start one process for each device on every host, with torchrun, srun or mpirun");
    }
    launch_and_exit(options, devices.size());
  }
  if (!cluster) {
    cluster.emplace();
    cluster->master_address = "127.0.0.1";  // there is one rank, and any free port will do
  }
  if (cluster->world_size > 1) check_sizes(options, *cluster, devices.size());
  // Each rank of this host takes one of the devices that are listed or counted.
  const auto own = static_cast<size_t>(cluster->local_rank) % devices.size();
  if (options.pipeline_size > 1) {
    return std::make_unique<PipelineStrategy>(
        *cluster, devices[own],
        PipelineStrategyOptions{.data_parallel = options_of(options),
                                .ranks = options.pipeline_size,
                                .schedule = options.pipeline_schedule,
                                .chunks = options.pipeline_chunks,
                                .micro_batches = options.micro_batches});
  }
  if (const auto stage = zero_stage(options.strategy)) {
    return std::make_unique<ShardedStrategy>(
        *cluster, devices[own],
        ShardedOptions{.data_parallel = options_of(options), .stage = *stage});
  }
  if (options.strategy == "parameter_server") {
    return std::make_unique<ParameterServerStrategy>(*cluster, devices[own], options_of(options),
                                                     server_settings(options.parameter_server));
  }
  if (averages) {
    return std::make_unique<AveragingStrategy>(*cluster, devices[own], options_of(options),
                                               options.model_averaging);
  }
  if (const auto deadline = gradient_deadline(options.gradient_deadline)) {
    return std::make_unique<DeadlineStrategy>(*cluster, devices[own], options_of(options),
                                              *deadline);
  }
  return std::make_unique<DataParallelStrategy>(*cluster, devices[own], options_of(options));
}

}  // namespace levin
