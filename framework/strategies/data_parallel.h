#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/data/device_copies.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/strategies/gradient_reducer.h>
#include <levin/framework/strategies/group_ranks.h>
#include <levin/framework/strategies/rider_copies.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Options of DataParallelStrategy. The defaults are those of the Trainer's options of the same
/// names. Lightning: the arguments of DDPStrategy.
struct DataParallelOptions {
  /// How the ranks are joined, and how long they wait for each other.
  ProcessGroupOptions process_group{};
  /// How gradients are summed.
  GradientReducerOptions gradients{};
  /// Whether rank 0's buffers, such as running means, are copied to the other ranks after each
  /// step.
  bool broadcast_buffers = true;
  /// Whether LibTorch's batch norms are joined over ranks as SyncBatchNorms are.
  bool sync_batchnorm = false;
  /// Seconds without a sign of life after which a rank counts as failed (HeartbeatOptions).
  double heartbeat_timeout = 10.0;
  /// Whether the host never waits for what is summed beside the gradients: ranks then learn of
  /// flags (Ranks::any_after_step) one step later, and gradients are scaled on the device
  /// (Strategy::scale_gradients). By default so on a GPU, and not on the CPU.
  std::optional<bool> sums_are_late{};
};

/// Keeps the same module on every rank and gives each rank its part of every global batch. The
/// gradients are summed over ranks while backward is still running. Lightning: DDPStrategy.
///
///     DataParallelStrategy strategy(*find_cluster(), at::kCPU);       // on every rank
///     strategy.setup(model);                                          // the weights of rank 0
///     strategy.backward(model, loss, weight, batch.rows());
///
/// A rank's loss is weighted by its rows, even if the last batch leaves some ranks fewer rows than
/// others, or none. So, for modules without dropout or batch statistics, all ranks take the step
/// that one process would take on the whole batch, to rounding.
///
/// A thread of this class, the heartbeat, notices if another rank fails. Calls that wait for that
/// rank then throw DistributedError on all ranks.
class DataParallelStrategy : public Strategy {
 public:
  /// Meets the other ranks, and returns when all are there. Throws DistributedError if one can't be
  /// reached within `process_group.timeout`, and ConfigError for a backend that can't be used.
  DataParallelStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options = {});
  ~DataParallelStrategy() override;

  at::Device device() const override { return device_; }
  Ranks& ranks() override { return ranks_; }
  int64_t local_rank() const override { return cluster_.local_rank; }
  const Cluster* cluster() const override { return &cluster_; }

  /// Throws DistributedError if the parameters and buffers of the ranks' modules differ in number,
  /// shape or type. Parameters that don't require gradients at this moment take no part in the
  /// sums.
  void setup(Module& module) override;
  /// Does nothing on the CPU.
  void to_device(Batch& batch) override;
  /// Throws DistributedError if another rank has failed, ModuleError if a parameter got no gradient
  /// (unless find_unused_parameters is set) or if there is no parameter to train. Copies rank 0's
  /// buffers to the other ranks at the end of each window, if `broadcast_buffers`.
  std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                 std::optional<double> window_rows) override;
  void scale_gradients(const std::vector<torch::Tensor>& tensors, double full_rows) override;
  void sum_by_optimizer(const Module& module, const Optimizers& optimizers) override;
  void sum_gradients_of(Module& module, size_t optimizer) override;
  void sum_losses(bool wanted) override {
    sums_losses_ = wanted;
    summed_loss_.reset();
  }
  std::optional<double> summed_loss() const override { return summed_loss_; }
  int64_t sent_bytes() const override;
  /// The states of the reducers, by their numbers: of one, or one for each optimizer.
  StateDict own_state() const override;
  /// If another number of ranks wrote the checkpoint, rank 0 takes over what those haven't sent.
  void load_own_states(const std::vector<StateDict>& ranks) override;
  /// The rows travel as the bytes of a checkpoint, and the result is on the CPU.
  NamedTensors gather_rows(NamedTensors own, const std::vector<int64_t>& positions) override;
  /// Also writes the failure report for the launcher. If this rank only lost a connection, it waits
  /// up to 0.3 s for the news of which rank failed first.
  std::string fail(const std::exception& error) noexcept override;
  /// Exchanges other than sums of gradients are reported at once.
  void set_profiler(Profiler* profiler) override {
    profiler_ = profiler;
    group_.exchanges().report_to(group_.world_size() > 1 ? profiler : nullptr);
  }
  /// Ends the sums and disconnects the SyncBatchNorm layers; the ranks stay joined.
  void teardown(Module& module) override;
  void end_forward() override {
    if (norms_) norms_->end_forward();
  }

 protected:
  /// One collective. Combines in the order of the ranks, so all ranks get the same bits.
  void combine(PackedMetrics& values) override;
  /// The last part of `setup`: gets ready to sum the gradients of `parameters`, the parameters of
  /// the module that are trained. `names` are their names, in the same order.
  virtual void prepare_sums(const Module& module, std::vector<std::string> names,
                            std::vector<torch::Tensor> parameters);
  /// Calls `backward` if `loss` is defined, and sums gradients and riders over ranks. Returns the
  /// sums of the riders. GradientReducer says what riders are.
  virtual torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                                      const std::function<void()>& backward);
  /// For derived classes: the ranks, joined, and the options given.
  ProcessGroup& group() { return group_; }
  GroupRanks& group_ranks() { return ranks_; }
  Heartbeat& heartbeat() { return heartbeat_; }
  const DataParallelOptions& options() const { return options_; }
  /// The log in which every collective of `sum_gradients` is recorded; null if there is no
  /// profiler.
  const std::shared_ptr<CommunicationLog>& log() const { return log_; }
  Profiler* profiler() const { return profiler_; }

 private:
  template <class SumRiders>
  void exchange(Module& module, RiderCopies::Riders riders, const SumRiders& sum);
  void send_buffers(const Module& module);
  void read_flags();
  std::vector<GradientReducer*> reducers() const;
  bool sums_are_late() const;

  at::Device device_;
  DeviceCopies copies_;
  Cluster cluster_;
  DataParallelOptions options_;
  ProcessGroup group_;
  Heartbeat heartbeat_;
  GroupRanks ranks_;
  RiderCopies riders_;
  torch::Tensor sums_;             // of the last window's riders, on the device
  bool has_unread_flags_ = false;  // in these sums
  bool sends_buffers_ = false;
  std::optional<double> summed_loss_;
  bool sums_losses_ = false;
  Profiler* profiler_ = nullptr;
  std::shared_ptr<CommunicationLog> log_;
  /// Null if there is nothing to sum.
  std::unique_ptr<GradientReducer> reducer_;
  /// One for each optimizer instead, if the module optimizes by hand.
  std::vector<std::unique_ptr<GradientReducer>> optimizer_reducers_;
  std::optional<SyncBatchNorms> norms_;
  StateDict left_state_;  // of the reducers of the last fit
};

}  // namespace levin
