#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/data/batch.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/logged/logged_values.h>

namespace levin {

class Module;
class Optimizer;
class Optimizers;
class Profiler;
struct Cluster;
struct TrainerOptions;

/// Where a run takes place: devices, processes, and every exchange between them. One process is
/// not special: it is rank 0 of 1. Works without a Trainer.
class Strategy {
 public:
  virtual ~Strategy() = default;

  /// The device of this process.
  virtual at::Device device() const = 0;
  virtual int64_t rank() const { return 0; }
  virtual int64_t world_size() const { return 1; }
  /// Among the ranks of this host.
  virtual int64_t local_rank() const { return 0; }
  /// What started this rank as one of several; null: nothing did.
  virtual const Cluster* cluster() const { return nullptr; }
  /// This process's part of each global batch.
  RankShare rank_share() const { return {rank(), world_size()}; }

  /// Moves the module to the device and makes all ranks start from the same weights.
  virtual void setup(Module& module) = 0;
  /// Shares the optimizers' state out among ranks; right after they are made.
  virtual void shard_optimizers(Optimizers& /*optimizers*/) {}
  /// Whether that is so: checkpoints are then written by all ranks (save_sharded_checkpoint).
  virtual bool is_sharded() const { return false; }
  /// The tensors that hold, at the end of a window, the gradients an optimizer steps by.
  virtual std::vector<torch::Tensor> with_gradients(const Optimizer& optimizer) const;
  /// As levin::clip_grad_norm, of those tensors: by the joint norm of all ranks'.
  virtual torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                       double max_norm);
  /// Moves a batch to the device.
  virtual void to_device(Batch& batch) = 0;
  /// Adds `weight` times the gradients of `loss` to the parameters', by Module::backward; nothing
  /// where `loss` is undefined. `weight` is this rank's rows over those a full batch has over all.
  /// At the end of a window, `window_rows` are the rows this rank's gradients stand for: gradients
  /// are then summed over ranks, and the result is the rows of all of them.
  virtual double backward(Module& module, const torch::Tensor& loss, double weight,
                          std::optional<double> window_rows) = 0;
  /// The sum over ranks of the losses that ended the last window, each times its weight; nothing
  /// where this process is the only one.
  virtual std::optional<double> summed_loss() const { return {}; }
  /// What any rank may find out at any moment, and all have to act on after the same step.
  enum class Flag { interrupted, out_of_time, stop, first_of_callbacks, count = 10 };
  /// Raises `flag` where `raised`; whether all ranks knew it raised when the last window ended.
  /// Flags travel beside the gradients. Once all know of it, it is to be raised anew.
  virtual bool agreed(Flag /*flag*/, bool raised) { return raised; }
  /// Combines an epoch's metrics over ranks: one collective, and two more where a name is new.
  void reduce(LoggedValues& metrics);

  /// Whether `flag` is set on any rank. A collective, as are the following.
  virtual bool any(bool flag) { return flag; }
  virtual void barrier() {}
  /// The texts of all ranks, in their order, on every rank.
  virtual std::vector<std::string> gather_text(const std::string& own) { return {own}; }
  /// Rows of all ranks, each tensor [rows, ...], in the order of their `positions`.
  virtual NamedTensors gather_rows(NamedTensors own, const std::vector<int64_t>& /*positions*/) {
    return own;
  }
  /// What rank 0's `make` gives, on every rank; `key` names it, and is used once. No collective:
  /// the other ranks wait until rank 0 has called.
  virtual std::string share(const std::string& /*key*/, const std::function<std::string()>& make) {
    return make();
  }
  /// Tells `profiler` (null: none) of every reduction of gradients from the next `setup` on.
  virtual void set_profiler(Profiler* /*profiler*/) {}
  /// This rank fails: tells the others, who fail too, before anything else is done about it. Gives
  /// the failure of another rank where that is the cause, else "".
  virtual std::string fail(const std::exception& /*error*/) noexcept { return {}; }
  virtual void teardown(Module& /*module*/) {}

 protected:
  /// Combines values of as many names, in the same order, on every rank.
  virtual void combine(PackedMetrics& /*values*/) {}
};

/// The strategy `accelerator` and `devices` ask for. Throws ConfigError where there is no such
/// device, or more devices are asked for than Levin can drive.
std::unique_ptr<Strategy> make_strategy(const TrainerOptions& options);

}  // namespace levin
