#include <levin/framework/strategies/deadline_strategy.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/sparse_gradients.h>

namespace levin {
namespace {

/// The options of the base class, which doesn't send buffers after each step.
DataParallelOptions options_with_deadline(DataParallelOptions options, at::Device device) {
  if (!device.is_cpu()) {
    throw ConfigError::conflict(
        "gradient_deadline on a GPU, whose sums wait for all ranks in one order of collectives",
        "set accelerator = cpu, or leave gradient_deadline out");
  }
  options.broadcast_buffers = false;
  return options;
}

}  // namespace

DeadlineStrategy::DeadlineStrategy(const Cluster& cluster, at::Device device,
                                   DataParallelOptions options, GradientDeadline deadline)
    : DataParallelStrategy(cluster, device, options_with_deadline(options, device)),
      sends_buffers_(options.broadcast_buffers),
      late_(group_ranks(), heartbeat(), deadline) {}

DeadlineStrategy::~DeadlineStrategy() = default;

void DeadlineStrategy::prepare_sums(const Module& module, std::vector<std::string> names,
                                    std::vector<torch::Tensor> parameters) {
  has_sums_ = group().world_size() > 1;
  if (!has_sums_) return;
  if (has_sync_batch_norms(module)) {
    throw ConfigError::conflict(
        "gradient_deadline with SyncBatchNorm layers, for which ranks wait for each other in each "
        "step",
        "use torch::nn::BatchNorm1d to 3d, or leave gradient_deadline out");
  }
  const auto sparse = find_sparse_gradients(module, parameters);
  if (std::find(sparse.begin(), sparse.end(), true) != sparse.end()) {
    throw ConfigError::conflict("gradient_deadline with sparse gradients",
                                "let the module compute dense gradients (sparse = false), or leave "
                                "gradient_deadline out");
  }
  late_.begin(group(), module, std::move(names), std::move(parameters), log(), sends_buffers_);
}

torch::Tensor DeadlineStrategy::sum_gradients(const torch::Tensor& loss,
                                              const torch::Tensor& riders,
                                              const std::function<void()>& backward) {
  if (!has_sums_) return DataParallelStrategy::sum_gradients(loss, riders, backward);
  return late_.sum(loss, riders, backward);
}

void DeadlineStrategy::sum_by_optimizer(const Module& /*module*/,
                                        const Optimizers& /*optimizers*/) {
  throw ConfigError::conflict(
      "gradient_deadline with a module that optimizes by hand, which decides itself when it steps",
      "leave out gradient_deadline");
}

void DeadlineStrategy::teardown(Module& module) {
  DataParallelStrategy::teardown(module);
  late_.end();
  has_sums_ = false;
}

}  // namespace levin
