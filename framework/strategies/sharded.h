#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/divided_parameters.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/gradient_scatter.h>

namespace levin {

/// Options of ShardedStrategy. Lightning: DeepSpeedStrategy(stage=...).
struct ShardedOptions {
  /// What it has in common with DataParallelStrategy.
  DataParallelOptions data_parallel{};
  /// What is divided among the w ranks. With stage 1 each rank keeps 1 / w of the optimizer's
  /// state, with stage 2 also 1 / w of the gradients, and with stage 3 of the parameters. In stages
  /// 2 and 3, unless `find_unused_parameters` is set, it is an error if a parameter has no part in
  /// the loss of some rank.
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
/// | stage 3  | 4 / w     | 4 / w    | 8 / w     |
///
/// Buffers for what is being sent come on top, and in stage 3 the layers that are gathered
/// (DividedParameters), in units of about `bucket_cap_mb`. Parameters must have dense gradients.
/// With accumulated gradients, ranks have whole ones until the window ends.
///
/// In stage 3, operations find the parameters' values in training_step, Module::backward and the
/// steps of evaluations (GatheredStep), and everywhere while WholeTensors exist
/// (framework/tensor/divided_memory.h), as they do while checkpoints are loaded. In hooks they
/// don't: there, an operation that uses values throws ModuleError.
class ShardedStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. Throws ConfigError for a stage other than 1
  /// to 3.
  ShardedStrategy(const Cluster& cluster, at::Device device, ShardedOptions options = {});
  ~ShardedStrategy() override;

  /// Throws ConfigError for an optimizer that can't step on slices, and ModuleError for one that
  /// was given a tensor that isn't a parameter of the module. The step of each optimizer is a
  /// collective from then on.
  void shard_optimizers(Optimizers& optimizers) override;
  bool is_sharded() const override { return true; }
  /// True in stage 3, in which each rank writes its slices of the parameters.
  bool divides_module() const override { return divided_ != nullptr; }
  void mark_own_tensors(StateDict& state) const override;
  std::vector<torch::Tensor> with_gradients(const Optimizer& optimizer) const override;
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  void agree_on(torch::Tensor& flag) override;
  /// Without the parameters that the ranks exchange after a step; with those that they gather in
  /// stage 3.
  int64_t sent_bytes() const override;
  /// Also moves the parameters that are trained into flat buffers, until `teardown`.
  void setup(Module& module) override;
  void begin_forward() override;
  std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                 std::optional<double> window_rows) override;
  /// Makes the parameters whole again. In stage 3, a collective.
  void teardown(Module& module) override;

 protected:
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;
  torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                              const std::function<void()>& backward) override;

 private:
  void gather_changes();
  void give_slices_gradients();
  void refuse_joined_norms(const Module& module);
  void end_backward();
  void note_wait(bool waits);
  /// The parameters that are trained; null if there are none.
  FlatParameters* flat() const { return divided_ ? divided_->trained() : flat_.get(); }

  int64_t stage_;
  /// The parameters that don't require gradients.
  std::vector<torch::Tensor> fixed_;
  std::unique_ptr<FlatParameters> flat_;  // null in stage 3
  /// Stage 3: the parameters, and the ranks joined once more to gather them.
  std::unique_ptr<ProcessGroup> gathering_;
  std::unique_ptr<DividedParameters> divided_;
  bool is_forward_ = false;
  bool is_backward_ = false;
  std::optional<Heartbeat::Waiting> waiting_;
  /// Null in stage 1, which sums whole gradients as `ddp` does.
  std::unique_ptr<GradientScatter> scatter_;
};

}  // namespace levin
