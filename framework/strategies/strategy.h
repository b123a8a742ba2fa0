#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/logged/logged_values.h>
#include <levin/framework/tensor/device_graph.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class DeviceMesh;
class LateGradients;
class LocalSteps;
class Module;
class Optimizer;
class Optimizers;
class Profiler;
struct Cluster;
struct TrainerOptions;

/// Where a run takes place: on which device, and together with which other processes. A strategy
/// moves modules and batches to the device and sums gradients over ranks. One process is not
/// special: it is rank 0 of 1. Lightning: Strategy.
///
/// A strategy also works without a Trainer, in a loop of the user's own (examples/custom_loop.cpp):
///
///     SingleDeviceStrategy strategy(default_device());
///     strategy.setup(model);
///     for (...) {
///       strategy.to_device(batch);
///       optimizer.zero_grad();
///       strategy.backward(model, model.loss(batch), /*weight=*/1.0, batch.rows());
///       optimizer.step();
///     }
///
/// All calls come from the thread that trains. The calls marked as collectives have to be made by
/// every rank, in the same order.
class Strategy {
 public:
  virtual ~Strategy() = default;

  /// The device of this process.
  virtual at::Device device() const = 0;
  /// The ranks of the run, for questions that have nothing to do with gradients. They live as long
  /// as the strategy.
  virtual Ranks& ranks() { return single_rank(); }
  /// The number of this rank among those of its host. Lightning: local_rank.
  virtual int64_t local_rank() const { return 0; }
  /// What the launcher has told about the ranks; null if no launcher started this process.
  virtual const Cluster* cluster() const { return nullptr; }
  /// The ranks that have different rows of each global batch. Ranks that share a model (a pipeline)
  /// have the same rows, and each of them is then the only one of these.
  virtual Ranks& data_ranks() { return ranks(); }
  /// How the ranks share models and batches, if several of them share a model; null if each of them
  /// has a whole one.
  virtual const DeviceMesh* mesh() const { return nullptr; }
  /// The rank whose random numbers this one draws while it trains. Ranks that share each layer
  /// (TrainerOptions::tensor_size) draw the same numbers, so that a dropout leaves out the same
  /// values on all of them; any other rank draws its own.
  int64_t random_rank();
  /// This rank's part of each global batch, for data loaders.
  RankShare rank_share() { return {data_ranks().rank(), data_ranks().size()}; }

  /// Moves the module to the device, and gives all ranks the weights of rank 0. A collective.
  virtual void setup(Module& module) = 0;
  /// Divides the optimizers' state among the ranks, if the strategy does that. To be called after
  /// `setup`, right after the optimizers are made.
  virtual void shard_optimizers(Optimizers& /*optimizers*/) {}
  /// Returns an empty graph in which a step on the device can be captured (Module::capturable);
  /// null if it can't, because the device has no graphs or a step exchanges something with other
  /// ranks.
  virtual std::unique_ptr<DeviceGraph> make_graph() const { return nullptr; }
  /// Whether the optimizers' state is divided among the ranks. All ranks then write a checkpoint
  /// together, by save_sharded_checkpoint.
  virtual bool is_sharded() const { return false; }
  /// Whether the module itself is divided: each rank has some of its parameters (a pipeline). All
  /// ranks then write checkpoints of weights together, too.
  virtual bool divides_module() const { return false; }
  /// Marks the tensors of a checkpoint that only this rank has, as slices (slices.h), so that
  /// save_sharded_checkpoint writes them. `state` is what FitState makes.
  virtual void mark_own_tensors(StateDict& /*state*/) const {}
  /// Returns a checkpoint of the whole module without the tensors that only other ranks have.
  virtual StateDict own_part_of(const StateDict& checkpoint) const { return checkpoint; }
  /// Returns the tensors whose gradients are complete at the end of a window, and by which the
  /// optimizer steps: its parameters or, in zero_stage_2 and 3, this rank's slices of them.
  virtual std::vector<torch::Tensor> with_gradients(const Optimizer& optimizer) const;
  /// Scales the gradients of those tensors down so that their joint norm, over all ranks, is at
  /// most `max_norm`. Returns the norm that they had before, a scalar. A collective if the
  /// gradients are divided among ranks. See levin::clip_grad_norm.
  virtual torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                       double max_norm);
  /// Makes `flag`, a number of 0 or more on the device, the largest one of all ranks if these have
  /// different gradients. A collective then; else does nothing, because all ranks have the same.
  virtual void agree_on(torch::Tensor& /*flag*/) {}
  /// Moves a batch to the device.
  virtual void to_device(Batch& batch) = 0;
  /// To be called right before a module's forward pass with gradients, which `backward` has to
  /// follow. A rank that makes no such pass, for want of rows, needn't call it.
  virtual void begin_forward() {}
  /// Adds `weight` times the gradients of `loss` to those of the parameters, by Module::backward.
  /// `weight` is this rank's rows divided by the rows that a full batch has over all ranks. `loss`
  /// is undefined on a rank that skips the batch or has no rows.
  ///
  /// `window_rows` is given with the last batch of a window only; it is the number of rows that
  /// this rank's gradients stand for. The gradients are then summed over ranks, which is a
  /// collective, and the return value is the number of rows of all ranks together. It is nothing if
  /// the host knows only that there are some, because it would have to wait for the device to learn
  /// how many; `scale_gradients` then uses the number. Within a window the return value means
  /// nothing.
  virtual std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                         std::optional<double> window_rows) = 0;
  /// Ends a batch for which the module's forward pass ran, or would have run, without gradients, in
  /// training mode: ranks that ran less of it than others take part in what layers exchange. A
  /// collective if there are such layers.
  virtual void end_forward() {}
  /// Multiplies the gradients of `tensors` (`with_gradients`) by `full_rows` over the number of
  /// rows of all ranks, on the device. To be called after a `backward` that ended a window and
  /// returned nothing.
  virtual void scale_gradients(const std::vector<torch::Tensor>& /*tensors*/,
                               double /*full_rows*/) {}
  /// Gets ready for `sum_gradients_of`, which takes the place of sums in `backward` if a module
  /// optimizes by hand. To be called after the optimizers are made; it holds until `setup` or
  /// `teardown`. A collective. Throws ConfigError if the strategy can't sum for each optimizer by
  /// itself.
  virtual void sum_by_optimizer(const Module& /*module*/, const Optimizers& /*optimizers*/) {}
  /// Makes the gradients of that optimizer's parameters, which `backward` (without window_rows) has
  /// computed on each rank, sums over ranks. Parameters that no rank has a gradient of get zeros. A
  /// collective.
  virtual void sum_gradients_of(Module& /*module*/, size_t /*optimizer*/) {}
  /// What lets ranks take steps by themselves and average their weights at intervals
  /// (TrainerOptions::model_averaging); null if gradients are summed in every step. `backward` sums
  /// nothing in a step that a rank takes by itself, and returns that rank's rows.
  virtual LocalSteps* local_steps() { return nullptr; }
  /// What lets ranks go on without the gradients of late ones (TrainerOptions::gradient_deadline);
  /// null if they wait for all.
  virtual LateGradients* late_gradients() { return nullptr; }
  /// By how many steps at most another rank was behind the weights that this rank has trained on,
  /// since the last call; nothing if ranks go in step (TrainerOptions::parameter_server).
  virtual std::optional<int64_t> take_staleness() { return {}; }
  /// Sets whether `summed_loss` is wanted, for which the loss of each step has to be read on the
  /// host. Off by default.
  virtual void sum_losses(bool /*wanted*/) {}
  /// The sum over ranks of the losses of the batches that ended the last window, each times its
  /// weight; nothing if the strategy sums no losses, as SingleDeviceStrategy, or isn't asked to.
  virtual std::optional<double> summed_loss() const { return {}; }
  /// The bytes that this rank has sent to sum gradients since `setup`, as CommunicationLog counts
  /// them; 0 in one process.
  virtual int64_t sent_bytes() const { return 0; }
  /// What this rank alone has to remember for the next reduction of gradients, such as the parts of
  /// gradients that it hasn't sent (TrainerOptions::gradient_compression); usually nothing. Also
  /// after `teardown`, until the next `setup`.
  virtual StateDict own_state() const { return {}; }
  /// Goes on from the own_state of each of the ranks that wrote a checkpoint, in their order. To be
  /// called after `setup`, and after `sum_by_optimizer` if that is called. Throws CheckpointError
  /// if a state doesn't fit the module.
  virtual void load_own_states(const std::vector<StateDict>& /*ranks*/) {}
  /// Combines the metrics of an epoch over ranks, in place. Costs one collective, two more if a
  /// rank has logged a name for the first time, and two more if there are metrics with a state.
  void reduce(LoggedValues& metrics);
  /// Gathers the rows of all ranks, each tensor [rows, ...], and sorts them by their `positions`,
  /// [rows], in the data. Every rank gets all rows. A collective.
  virtual NamedTensors gather_rows(NamedTensors own, const std::vector<int64_t>& /*positions*/) {
    return own;
  }
  /// Reports every reduction of gradients to `profiler`, from the next `setup` on; null: to nobody.
  /// The profiler must outlive the strategy's use of it.
  virtual void set_profiler(Profiler* /*profiler*/) {}
  /// Tells the other ranks that this one failed with `error`, so that they fail, too, instead of
  /// waiting. To be called before anything else is done about the error. Returns the other rank's
  /// message if another rank's failure is what made this rank fail, else "".
  virtual std::string fail(const std::exception& /*error*/) noexcept { return {}; }
  /// Ends what `setup` began: afterwards the module may be used without the strategy.
  virtual void teardown(Module& /*module*/) {}

 protected:
  /// Combines values over all of `ranks`, in place. Every rank gives equally many values, in the
  /// same order. A collective.
  virtual void combine(PackedMetrics& /*values*/) {}
};

/// Makes the strategy that the options `strategy`, `accelerator`, `devices` and `num_nodes` ask
/// for.
///
/// If several devices are asked for and no launcher started this process, this function starts one
/// process for each device, waits until they have ended, and ends this process with their status;
/// it then doesn't return. Throws ConfigError for a device that this machine doesn't have, and for
/// options that contradict each other or the launcher; DistributedError if the ranks can't meet.
std::unique_ptr<Strategy> make_strategy(const TrainerOptions& options);

}  // namespace levin
