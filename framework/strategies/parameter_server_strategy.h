#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/parameter_server/server_settings.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/served_steps.h>

namespace levin {

/// Data parallelism by parameter servers. The first ranks each have a server in a thread, which
/// holds a part of the parameters and of the optimizer's state; all ranks are workers. A worker
/// pushes the gradients of its rows to the servers, and pulls the weights that these make of them.
/// In step (bsp), the steps are those of one process; with ssp and asp, a worker doesn't wait for
/// the gradients of the others. DistBelief: Dean et al. 2012; SSP: see ServerClock.
///
///     ParameterServerStrategy strategy(*find_cluster(), at::kCPU, {}, {.servers = 2});
///     strategy.setup(model);
///     Optimizers optimizers = model.configure_optimizers();
///     strategy.shard_optimizers(optimizers);                          // before the first step
///     for (...) {
///       if (!strategy.backward(model, loss, weight, batch.rows())) {
///         strategy.scale_gradients(model.parameters(), full_rows);
///       }
///       optimizers.entries()[0].optimizer->step();
///     }
///
/// Evaluation, metrics and checkpoints are those of DataParallelStrategy, and the state of the
/// optimizer is saved as by ShardedStrategy. A rank that fails ends the run, as there.
class ParameterServerStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. Throws ConfigError if there are more servers
  /// than ranks, and for another device than the CPU.
  ParameterServerStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options,
                          ServerSettings servers);
  ~ParameterServerStrategy() override;

  /// Also moves the parameters that are trained into flat buffers, until `teardown`, which all
  /// ranks may call only when all are done with their steps. Throws ConfigError for SyncBatchNorm
  /// layers unless ranks go in step.
  void setup(Module& module) override;
  /// Gives the optimizer's state to the servers, and puts a ServedOptimizer in its place. Throws
  /// what ShardedStrategy's does.
  void shard_optimizers(Optimizers& optimizers) override;
  bool is_sharded() const override { return true; }
  /// The gradients stay those of this rank: the servers add them up.
  std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                 std::optional<double> window_rows) override;
  void scale_gradients(const std::vector<torch::Tensor>& tensors, double full_rows) override;
  /// In step, the server clips the sum of the gradients, and the result has their norm after the
  /// step. Otherwise this rank's own gradients are clipped at once.
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  int64_t sent_bytes() const override { return steps_ ? steps_->sent_bytes() : 0; }
  std::optional<int64_t> take_staleness() override;
  void teardown(Module& module) override;

 protected:
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;

 private:
  bool are_in_step() const { return servers_.mode == ServerSettings::Mode::bsp; }

  ServerSettings servers_;
  /// The parameters that don't require gradients.
  std::vector<torch::Tensor> fixed_;
  std::shared_ptr<ServedSteps> steps_;
};

}  // namespace levin
