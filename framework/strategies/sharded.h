#pragma once

#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_scatter.h>

namespace levin {

/// Lightning: DeepSpeedStrategy(stage=...).
struct ShardedOptions {
  DataParallelOptions data_parallel{};
  /// 1: each rank keeps 1 / world_size of the optimizer's state. 2: and of the gradients; where
  /// `find_unused_parameters` is off, a parameter that a rank's loss doesn't depend on is an error.
  int64_t stage = 1;
};

/// Data parallelism whose ranks share the optimizer's step out among them: each changes its part of
/// the parameters, and they send each other the results. The weights are those of `ddp`, to the
/// rounding of sums over ranks. ZeRO: https://arxiv.org/abs/1910.02054.
///
/// Bytes a parameter of four, with Adam and w ranks: ddp 4 + 4 + 8, stage 1 4 + 4 + 8 / w, stage 2
/// 4 + 4 / w + 8 / w, and the buffers on their way.
class ShardedStrategy : public DataParallelStrategy {
 public:
  /// Throws ConfigError for a stage other than 1 and 2.
  ShardedStrategy(const Cluster& cluster, at::Device device, ShardedOptions options = {});
  ~ShardedStrategy() override;

  /// Throws ConfigError for an optimizer that can't be sharded, ModuleError for one that was given
  /// something else than parameters of the module.
  void shard_optimizers(Optimizers& optimizers) override;
  bool is_sharded() const override { return true; }
  std::vector<torch::Tensor> with_gradients(const Optimizer& optimizer) const override;
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  void setup(Module& module) override;
  void teardown(Module& module) override;

 protected:
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;
  GradientReducer::Riders sum_gradients(const torch::Tensor& loss,
                                        const GradientReducer::Riders& riders,
                                        const std::function<void()>& backward) override;

 private:
  void give_slices_gradients();

  int64_t stage_;
  std::vector<torch::Tensor> fixed_;  // parameters that aren't learnt
  std::unique_ptr<FlatParameters> flat_;
  std::unique_ptr<GradientScatter> scatter_;  // stage 2
};

}  // namespace levin
