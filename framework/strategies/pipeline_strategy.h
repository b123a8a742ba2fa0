#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <levin/framework/pipeline/pipeline.h>
#include <levin/framework/strategies/data_parallel.h>

namespace levin {

/// Options of PipelineStrategy: those of the Trainer whose names begin with pipeline_, and
/// micro_batches.
struct PipelineStrategyOptions {
  /// What it has in common with DataParallelStrategy. `mesh` says how many ranks share each layer;
  /// the number of stages in it isn't used.
  DataParallelOptions data_parallel{};
  /// The number of ranks of each pipeline.
  int64_t ranks = 1;
  std::string schedule = "1f1b";
  int64_t chunks = 0;
  int64_t micro_batches = 0;
};

/// Spreads the layers of a module that has some (HasLayers) over the ranks of a pipeline, which
/// train on the same batches. If there are several times as many ranks, there are several such
/// pipelines, which have the same weights and different rows of each global batch. The weights are
/// those that one process would get, to rounding, unless layers mix rows or draw random numbers.
///
///     PipelineStrategy strategy(*find_cluster(), at::kCPU, {.ranks = 4});
///     strategy.setup(model);                            // each rank keeps its own layers
///     ...
///     strategy.teardown(model);                         // every rank has all layers again
///
/// Ranks are arranged as in a DeviceMesh: consecutive ranks have the same stages of different
/// pipelines, and sum the gradients of these while the backward passes run. With `mesh.tensor`
/// above 1, so many consecutive ranks share the layers of a stage, and are in as many pipelines, of
/// the same rows.
///
/// Each rank has its own optimizer, for the parameters of its layers. Checkpoints are folders with
/// a file of each rank of the first pipeline, and are loaded as if one process had written them.
class PipelineStrategy : public DataParallelStrategy {
 public:
  /// Meets the other ranks, like DataParallelStrategy. Throws ConfigError unless the number of
  /// ranks of the run is a multiple of that of a pipeline, and what PipelineSchedule throws.
  PipelineStrategy(const Cluster& cluster, at::Device device, PipelineStrategyOptions options);
  ~PipelineStrategy() override;

  bool is_sharded() const override { return true; }
  bool divides_module() const override { return pipeline_ != nullptr; }
  /// Throws ModuleError for a module that isn't a PipelineModule or another one that HasLayers,
  /// that has parameters outside of its layers, or whose layers exchange something with other
  /// ranks, and what Pipeline throws.
  void setup(Module& module) override;
  /// Throws ConfigError for an optimizer that isn't a PerParameterOptimizer.
  void shard_optimizers(Optimizers& optimizers) override;
  void mark_own_tensors(StateDict& state) const override;
  StateDict own_part_of(const StateDict& checkpoint) const override;
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  void agree_on(torch::Tensor& flag) override;
  void sum_by_optimizer(const Module& module, const Optimizers& optimizers) override;
  /// The outputs and gradients that this rank has passed on, and the gradients that it has sent to
  /// be summed over pipelines, and what divided layers have sent.
  int64_t sent_bytes() const override;
  void teardown(Module& module) override;
  void set_profiler(Profiler* profiler) override {
    DataParallelStrategy::set_profiler(profiler);
    profiler_ = profiler;
  }

  /// The pipeline between `setup` and `teardown`; null otherwise.
  const Pipeline* pipeline() const { return pipeline_.get(); }

 protected:
  /// Layers are divided after they are spread: how they are spread goes by whole layers.
  void divide_layers(Module& /*module*/) override {}
  void prepare_sums(const Module& module, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override;
  torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                              const std::function<void()>& backward) override;

 private:
  void refuse_copies_of_weights(const StateDict& state) const;
  void join_replicas(const Module& module);
  /// The ranks of this rank's pipeline.
  ProcessGroup& stages() { return groups()->pipeline(); }
  /// The ranks that have the same parts of the same stages.
  ProcessGroup& replicas() { return groups()->data(); }
  bool has_replicas() { return replicas().world_size() > 1; }

  int64_t rank_;
  PipelineOptions pipeline_options_;
  bool sends_buffers_;
  MeshPlace place_;
  std::unique_ptr<GradientReducer> reducer_;  // also null if this rank has nothing to train
  std::vector<torch::Tensor> buffers_;        // that replicas take from the first of them
  Profiler* profiler_ = nullptr;
  std::shared_ptr<Pipeline> pipeline_;
  /// The names of all of the module's parameters and buffers.
  std::set<std::string> names_;
  /// Those of them that only other ranks have.
  std::set<std::string> others_;
};

}  // namespace levin
