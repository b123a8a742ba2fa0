#pragma once

#include <memory>
#include <string>
#include <vector>

#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_scatter.h>

namespace levin {

/// Options of ShardedStrategy. Lightning: DeepSpeedStrategy(stage=...).
struct ShardedOptions {
  /// What it has in common with DataParallelStrategy.
  DataParallelOptions data_parallel{};
  /// What is divided among the w ranks. With stage 1 each rank keeps 1 / w of the optimizer's
  /// state, with stage 2 also 1 / w of the gradients. In stage 2, unless `find_unused_parameters`
  /// is set, it is an error if a parameter has no part in the loss of some rank.
  int64_t stage = 1;
};

/// Data parallelism that divides the optimizer's step among the ranks: each rank updates its slices
/// of the parameters, and then all ranks exchange the results. The weights are those that `ddp`
/// gives, to the rounding of sums over ranks. ZeRO: https://arxiv.org/abs/1910.02054.
///
///     ShardedStrategy strategy(*find_cluster(), at::kCPU, {.stage = 2});
///     strategy.setup(model);
///     Optimizers optimizers = model.configure_optimizers();
///     strategy.shard_optimizers(optimizers);                          // before the first step
///
/// Memory on each of w ranks, in bytes for each float32 parameter, with Adam:
///
/// | strategy | parameter | gradient | optimizer |
/// |----------|-----------|----------|-----------|
/// | ddp      | 4         | 4        | 8         |
/// | stage 1  | 4         | 4        | 8 / w     |
/// | stage 2  | 4         | 4 / w    | 8 / w     |
///
/// Buffers for what is being sent come on top. Parameters must have dense gradients.
class ShardedStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. Throws ConfigError for a stage other than 1
  /// and 2.
  ShardedStrategy(const Cluster& cluster, at::Device device, ShardedOptions options = {});
  ~ShardedStrategy() override;

  /// Throws ConfigError for an optimizer that can't step on slices, and ModuleError for one that
  /// was given a tensor that isn't a parameter of the module. The step of each optimizer is a
  /// collective from then on.
  void shard_optimizers(Optimizers& optimizers) override;
  bool is_sharded() const override { return true; }
  std::vector<torch::Tensor> with_gradients(const Optimizer& optimizer) const override;
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  void agree_on(torch::Tensor& flag) override;
  /// Without the parameters that the ranks exchange after a step.
  int64_t sent_bytes() const override;
  /// Also moves the parameters that are trained into flat buffers, until `teardown`.
  void setup(Module& module) override;
  void teardown(Module& module) override;

 protected:
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;
  torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                              const std::function<void()>& backward) override;

 private:
  void give_slices_gradients();

  int64_t stage_;
  /// The parameters that don't require gradients.
  std::vector<torch::Tensor> fixed_;
  std::unique_ptr<FlatParameters> flat_;
  /// Null in stage 1, which sums whole gradients as `ddp` does.
  std::unique_ptr<GradientScatter> scatter_;
};

}  // namespace levin
