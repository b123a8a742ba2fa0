#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/strategies/gradient_reducer.h>
#include <levin/framework/strategies/group_ranks.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Lightning: the arguments of DDPStrategy.
struct DataParallelOptions {
  /// How the ranks are joined, and how long they wait for each other.
  ProcessGroupOptions process_group{};
  /// How gradients are summed.
  GradientReducerOptions gradients{};
  /// Whether rank 0's buffers, such as running means, are copied to the other ranks after each
  /// step.
  bool broadcast_buffers = true;
  /// Seconds without a sign of life after which a rank counts as failed.
  double heartbeat_timeout = 10.0;
};

/// Keeps the same module on every rank and gives each rank its part of every global batch; the
/// gradients are summed over ranks while backward runs. Lightning: DDPStrategy.
///
/// A rank's loss is weighted by its rows, even if the last batch leaves some ranks fewer rows than
/// others, or none. So, for modules without dropout or batch statistics, all ranks take the step
/// that one process would take on the whole batch, to rounding.
class DataParallelStrategy : public Strategy {
 public:
  /// Meets the other ranks; returns when all are there. Throws DistributedError if one can't be
  /// reached in time.
  DataParallelStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options = {});
  ~DataParallelStrategy() override;

  at::Device device() const override { return device_; }
  Ranks& ranks() override { return ranks_; }
  int64_t local_rank() const override { return cluster_.local_rank; }
  const Cluster* cluster() const override { return &cluster_; }

  /// Throws DistributedError if the ranks' parameters differ in number, shape or type.
  void setup(Module& module) override;
  void to_device(Batch& batch) override;
  double backward(Module& module, const torch::Tensor& loss, double weight,
                  std::optional<double> window_rows) override;
  std::optional<double> summed_loss() const override { return summed_loss_; }
  NamedTensors gather_rows(NamedTensors own, const std::vector<int64_t>& positions) override;
  std::string fail(const std::exception& error) noexcept override;
  void set_profiler(Profiler* profiler) override { profiler_ = profiler; }
  void teardown(Module& module) override;

 protected:
  void combine(PackedMetrics& values) override;
  /// The last part of `setup`: gets ready to sum the gradients of `parameters`, those of the module
  /// that are learnt, which have these `names`.
  virtual void prepare_sums(const Module& module, std::vector<std::string> names,
                            std::vector<torch::Tensor> parameters);
  /// Runs `backward` if `loss` is defined, and sums gradients and riders over ranks; returns the
  /// sums of the riders. See GradientReducer::run.
  virtual GradientReducer::Riders sum_gradients(const torch::Tensor& loss,
                                                const GradientReducer::Riders& riders,
                                                const std::function<void()>& backward);
  ProcessGroup& group() { return group_; }
  const DataParallelOptions& options() const { return options_; }
  /// Where every collective of `sum_gradients` is recorded; null if no profiler asks for it.
  const std::shared_ptr<CommunicationLog>& log() const { return log_; }

 private:
  at::Device device_;
  Cluster cluster_;
  DataParallelOptions options_;
  ProcessGroup group_;
  Heartbeat heartbeat_;
  GroupRanks ranks_;
  bool sends_buffers_ = false;
  std::optional<double> summed_loss_;
  Profiler* profiler_ = nullptr;
  std::shared_ptr<CommunicationLog> log_;
  std::unique_ptr<GradientReducer> reducer_;  // null if there is nothing to sum
  std::optional<SyncBatchNorms> norms_;
};

}  // namespace levin
