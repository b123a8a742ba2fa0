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
#include <levin/framework/strategies/divided_layers.h>
#include <levin/framework/strategies/gradient_reducer.h>
#include <levin/framework/strategies/group_ranks.h>
#include <levin/framework/strategies/mesh_groups.h>
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
  /// How many ranks share a model; `data` follows from the number of ranks. Nothing: each rank has
  /// a whole one.
  std::optional<MeshSizes> mesh{};
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
/// With `mesh.tensor` above 1, layers that can be divided (TensorParallelLayer) are shared by so
/// many consecutive ranks, which have the same rows, between `setup` and `teardown`. Gradients are
/// summed over the ranks that have the same parts of layers and other rows (`data_ranks`).
/// Checkpoints have whole layers, and load with any number of ranks.
///
/// A thread of this class, the heartbeat, notices if another rank fails. Calls that wait for that
/// rank then throw DistributedError on all ranks.
class DataParallelStrategy : public Strategy {
 public:
  /// Meets the other ranks, and returns when all are there. Throws DistributedError if one can't be
  /// reached within `process_group.timeout`, and ConfigError for a backend that can't be used, or
  /// if the number of ranks isn't a multiple of those that share a model.
  DataParallelStrategy(const Cluster& cluster, at::Device device, DataParallelOptions options = {});
  ~DataParallelStrategy() override;

  at::Device device() const override { return device_; }
  Ranks& ranks() override { return ranks_; }
  int64_t local_rank() const override { return cluster_.local_rank; }
  const Cluster* cluster() const override { return &cluster_; }
  Ranks& data_ranks() override { return data_ranks_ ? *data_ranks_ : ranks_; }
  const DeviceMesh* mesh() const override { return groups_ ? &groups_->mesh() : nullptr; }
  bool is_sharded() const override { return shares_layers(); }
  bool divides_module() const override { return divided_ != nullptr; }
  /// If layers are divided: throws ConfigError for an optimizer whose update of a number depends on
  /// others, of which this rank doesn't have all.
  void shard_optimizers(Optimizers& optimizers) override;
  /// Puts whole layers in the place of divided ones, on every rank. A collective then. Throws
  /// ConfigError if a callback's state has copies of divided parameters.
  void mark_own_tensors(StateDict& state) const override;
  StateDict own_part_of(const StateDict& checkpoint) const override;
  torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                               double max_norm) override;
  void agree_on(torch::Tensor& flag) override;

  /// Throws ModuleError if layers are to be divided and there is none that can be. Throws
  /// DistributedError if the parameters and buffers of the ranks' modules differ in number,
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
  /// With divided layers, also what these have sent.
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
  /// One collective. Combines in the order of the ranks, so all ranks get the same bits. Of ranks
  /// that share a model, those that have logged a value have the same one, which counts once.
  void combine(PackedMetrics& values) override;
  /// The last part of `setup`: gets ready to sum the gradients of `parameters`, the parameters of
  /// the module that are trained. `names` are their names, in the same order.
  virtual void prepare_sums(const Module& module, std::vector<std::string> names,
                            std::vector<torch::Tensor> parameters);
  /// Calls `backward` if `loss` is defined, and sums gradients and riders over ranks. Returns the
  /// sums of the riders. GradientReducer says what riders are.
  virtual torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                                      const std::function<void()>& backward);
  /// Divides the layers that can be, once all ranks have the same weights. Called by `setup`.
  virtual void divide_layers(Module& module);
  /// Makes divided layers whole again. A collective then.
  void join_layers();
  /// For derived classes: the ranks, joined, those of the groups along the axes of the mesh (null
  /// without `options.mesh`), and the options given.
  ProcessGroup& group() { return group_; }
  MeshGroups* groups() { return groups_.get(); }
  /// Null unless layers are divided.
  const DividedLayers* divided() const { return divided_.get(); }
  GroupRanks& group_ranks() { return ranks_; }
  Heartbeat& heartbeat() { return heartbeat_; }
  const DataParallelOptions& options() const { return options_; }
  /// Whether ranks get rank 0's buffers after each step; `send_buffers` does that. A collective.
  bool sends_buffers() const { return sends_buffers_; }
  void send_buffers(const Module& module);
  /// The log in which every collective of `sum_gradients` is recorded; null if there is no
  /// profiler.
  const std::shared_ptr<CommunicationLog>& log() const { return log_; }
  Profiler* profiler() const { return profiler_; }

 private:
  template <class SumRiders>
  void exchange(Module& module, RiderCopies::Riders riders, const SumRiders& sum);
  void read_flags();
  int64_t sent_parts() const;
  bool shares_layers() const { return groups_ && groups_->tensor() != nullptr; }
  ProcessGroup& data_group() { return groups_ ? groups_->data() : group_; }
  void agree_on_flags();
  std::vector<GradientReducer*> reducers() const;
  bool sums_are_late() const;

  at::Device device_;
  DeviceCopies copies_;
  Cluster cluster_;
  DataParallelOptions options_;
  ProcessGroup group_;
  Heartbeat heartbeat_;
  GroupRanks ranks_;
  std::unique_ptr<MeshGroups> groups_;
  std::optional<GroupRanks> data_ranks_;  // if they aren't all ranks
  std::unique_ptr<DividedLayers> divided_;
  TensorShards shards_;         // of the last module that was divided
  int64_t parts_at_setup_ = 0;  // the bytes that tensor-parallel layers had sent
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
