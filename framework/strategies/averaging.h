#pragma once

#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/local_steps.h>

namespace levin {

/// Data parallelism in which ranks take optimizer steps with the gradients of their own rows, and
/// average their weights at intervals: local SGD, post-local SGD and DiLoCo. Sends the bytes of one
/// sum of gradients in as many steps as lie between two meetings.
///
///     AveragingStrategy strategy(*find_cluster(), at::kCPU, {}, {"local_sgd", settings});
///     strategy.setup(model);
///     for (...) {
///       strategy.local_steps()->begin_step(step);
///       const auto rows = strategy.backward(model, loss, /*weight=*/1.0, batch.rows());
///       optimizer.step();
///       strategy.local_steps()->end_step();
///     }
///
/// In a step that a rank takes by itself, `backward` returns the rows of this rank. The other steps
/// are those of DataParallelStrategy. One rank works as well: DiLoCo is then an outer optimizer
/// around the optimizer.
class AveragingStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. `averaging` is the name of a rule
  /// (shipped_model_averagings) with its settings; throws ConfigError if they are wrong.
  AveragingStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options,
                    const NamedSettings& averaging);
  ~AveragingStrategy() override;

  LocalSteps* local_steps() override { return &local_steps_; }
  void setup(Module& module) override;
  std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                 std::optional<double> window_rows) override;
  /// Always throws ConfigError: a module that optimizes by hand decides itself when it steps.
  void sum_by_optimizer(const Module& module, const Optimizers& optimizers) override;
  /// Those of the weights, too.
  int64_t sent_bytes() const override;
  StateDict own_state() const override { return local_steps_.state_dict(); }
  void load_own_states(const std::vector<StateDict>& ranks) override {
    local_steps_.load_state_dict(ranks);
  }

 protected:
  /// Prepares no sums if the rule never uses any.
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;

 private:
  LocalSteps local_steps_;
};

}  // namespace levin
