#include <levin/framework/strategies/parameter_server_strategy.h>

#include <array>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/collectives/meeting_place.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/served_optimizer.h>

namespace levin {
namespace {

at::Device checked_server_device(const Cluster& cluster, at::Device device,
                                 const ServerSettings& servers) {
  if (!device.is_cpu()) {
    throw ConfigError::conflict("strategy = parameter_server on a GPU",
                                "use accelerator = cpu, or strategy = ddp");
  }
  if (servers.servers > cluster.world_size) {
    throw ConfigError::conflict(
        fmt::format("servers = {} with {}, each of which has one server at most", servers.servers,
                    counted(cluster.world_size, "rank")),
        fmt::format("use servers = {} or fewer, or more ranks", cluster.world_size));
  }
  return device;
}

}  // namespace

ParameterServerStrategy::ParameterServerStrategy(const Cluster& cluster, at::Device device,
                                                 DataParallelOptions options,
                                                 ServerSettings servers)
    : DataParallelStrategy(cluster, checked_server_device(cluster, device, servers),
                           std::move(options)),
      servers_(servers) {
  group_ranks().set_train_alone(!are_in_step());
}

ParameterServerStrategy::~ParameterServerStrategy() {
  if (steps_) steps_->disconnect();  // the optimizer may live longer
}

void ParameterServerStrategy::setup(Module& module) {
  if (steps_) steps_->end();
  steps_.reset();
  fixed_.clear();
  for (const auto& parameter : module.parameters()) {
    if (!parameter.requires_grad()) fixed_.push_back(parameter);
  }
  DataParallelStrategy::setup(module);
}

void ParameterServerStrategy::prepare_sums(const Module& module, std::vector<std::string> names,
                                           std::vector<torch::Tensor> parameters) {
  if (!are_in_step() && has_sync_batch_norms(module)) {
    throw ConfigError::conflict(
        "SyncBatchNorm layers, for which ranks wait for each other in each step, with "
        "parameter_server = ssp or asp",
        "use parameter_server = bsp, or torch::nn::BatchNorm1d to 3d");
  }
  ServedStepsOptions steps{.servers = servers_,
                           .host = own_address(*cluster()),
                           .find_unused_parameters = options().gradients.find_unused_parameters};
  if (sends_buffers()) steps.send_buffers = [this, &module] { send_buffers(module); };
  steps_ = std::make_shared<ServedSteps>(group_ranks(), heartbeat(), std::move(names),
                                         std::move(parameters), std::move(steps));
  steps_->set_profiler(profiler());
}

void ParameterServerStrategy::shard_optimizers(Optimizers& optimizers) {
  if (!steps_ || optimizers.size() != 1) return;  // the loop refuses several
  auto& own = optimizers.entries().front().optimizer;
  const std::shared_ptr<Optimizer> inner(std::move(own));
  own = std::make_unique<ServedOptimizer>(inner, steps_);
  steps_->serve(inner, fixed_);
}

std::optional<double> ParameterServerStrategy::backward(Module& module, const torch::Tensor& loss,
                                                        double weight,
                                                        std::optional<double> window_rows) {
  const bool is_served = steps_ && steps_->are_served();
  if (is_served) steps_->begin();
  DataParallelStrategy::backward(module, loss, weight, std::nullopt);
  if (!window_rows) return 0.0;
  if (!is_served) {  // there is no optimizer, and so nothing to exchange but the rows and flags
    std::array<double, 1> rows{*window_rows};
    group_ranks().exchange_flags(rows);
    return rows[0];
  }
  if (are_in_step() && *window_rows == 0.0) return steps_->step_without_rows();
  steps_->count(*window_rows);
  // In step, the servers know how many rows all ranks have, and scale. Otherwise the step counts
  // even if this rank has no rows.
  return are_in_step() || *window_rows == 0.0 ? std::nullopt : window_rows;
}

void ParameterServerStrategy::scale_gradients(const std::vector<torch::Tensor>& /*tensors*/,
                                              double full_rows) {
  if (steps_) steps_->scale_for(full_rows);  // those of a rank without rows don't count
}

torch::Tensor ParameterServerStrategy::clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                                      double max_norm) {
  if (!are_in_step() || !steps_ || !steps_->are_served()) {
    return levin::clip_grad_norm(parameters, max_norm);
  }
  return steps_->clip(max_norm);
}

std::optional<int64_t> ParameterServerStrategy::take_staleness() {
  if (!steps_ || are_in_step()) return {};
  return steps_->take_staleness();
}

void ParameterServerStrategy::teardown(Module& module) {
  if (steps_) steps_->end();
  DataParallelStrategy::teardown(module);
}

}  // namespace levin
