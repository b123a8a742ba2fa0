#pragma once

#include <array>
#include <memory>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/strategies/gradient_reducer.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Lightning: DDPStrategy.
struct DataParallelOptions {
  ProcessGroupOptions process_group{};
  GradientReducerOptions gradients{};
  /// After each step, rank 0's buffers (running means, say) go to the others.
  bool broadcast_buffers = true;
  /// Seconds after which a rank that isn't heard of counts as failed.
  double heartbeat_timeout = 10.0;
};

/// The same module on every rank, each with its part of every global batch; gradients are summed
/// over ranks while backward runs. Lightning: DDPStrategy.
///
/// For modules without dropout or batch statistics all ranks take the step that one process would
/// take on the whole batch, to rounding: a rank's loss is weighted by its rows, also where the last
/// batch leaves some ranks fewer rows than others, or none.
class DataParallelStrategy : public Strategy {
 public:
  /// Meets the other ranks. Throws DistributedError where they can't be reached.
  DataParallelStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options = {});
  ~DataParallelStrategy() override;

  at::Device device() const override { return device_; }
  int64_t rank() const override { return group_.rank(); }
  int64_t world_size() const override { return group_.world_size(); }
  int64_t local_rank() const override { return cluster_.local_rank; }
  const Cluster* cluster() const override { return &cluster_; }

  /// Throws DistributedError where the ranks' parameters differ in number, shape or type.
  void setup(Module& module) override;
  void to_device(Batch& batch) override;
  double backward(Module& module, const torch::Tensor& loss, double weight,
                  std::optional<double> window_rows) override;
  std::optional<double> summed_loss() const override { return summed_loss_; }
  bool agreed(Flag flag, bool raised) override;
  bool any(bool flag) override;
  void barrier() override;
  std::vector<std::string> gather_text(const std::string& own) override;
  NamedTensors gather_rows(NamedTensors own, const std::vector<int64_t>& positions) override;
  std::string fail(const std::exception& error) noexcept override;
  std::string share(const std::string& key, const std::function<std::string()>& make) override;
  void set_profiler(Profiler* profiler) override { profiler_ = profiler; }
  void teardown(Module& module) override;

 protected:
  void combine(PackedMetrics& values) override;
  /// Gets ready to sum the gradients of the parameters that are learnt; ends `setup`.
  virtual void prepare_sums(const Module& module, std::vector<std::string> names,
                            std::vector<torch::Tensor> parameters);
  /// Runs `backward` where there is a loss, and sums gradients and riders: GradientReducer::run.
  virtual GradientReducer::Riders sum_gradients(const torch::Tensor& loss,
                                                const GradientReducer::Riders& riders,
                                                const std::function<void()>& backward);
  ProcessGroup& group() { return group_; }
  const DataParallelOptions& options() const { return options_; }
  /// What is told of every collective of `sum_gradients`; null where no profiler asks.
  const std::shared_ptr<CommunicationLog>& log() const { return log_; }

 private:
  at::Device device_;
  Cluster cluster_;
  DataParallelOptions options_;
  ProcessGroup group_;
  Heartbeat heartbeat_;
  bool sends_buffers_ = false;
  std::optional<double> summed_loss_;
  Profiler* profiler_ = nullptr;
  std::shared_ptr<CommunicationLog> log_;
  std::unique_ptr<GradientReducer> reducer_;  // none where there is nothing to sum
  std::optional<SyncBatchNorms> norms_;
  std::array<bool, static_cast<size_t>(Flag::count)> raised_{};
  std::array<bool, static_cast<size_t>(Flag::count)> agreed_{};
};

}  // namespace levin
