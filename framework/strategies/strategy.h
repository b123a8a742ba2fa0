#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <levin/framework/batch.h>
#include <levin/framework/dataloader.h>
#include <levin/framework/metrics.h>

namespace levin {

class Module;
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
  /// This process's part of each global batch.
  Shard shard() const { return {rank(), world_size()}; }

  /// Moves the module to the device and makes all ranks start from the same weights.
  virtual void setup(Module& module) = 0;
  /// Moves a batch to the device.
  virtual void to_device(Batch& batch) = 0;
  /// Adds `weight` times the gradients of `loss` to the parameters', by Module::backward.
  /// `weight` is the batch's rows over those a full batch has; where `synchronize`, the window ends
  /// here and gradients are summed over ranks.
  virtual void backward(Module& module, const torch::Tensor& loss, double weight,
                        bool synchronize) = 0;
  /// Reduces an epoch's metrics over ranks, in one collective.
  virtual void reduce(PackedMetrics& /*metrics*/) {}
  /// Whether `flag` is set on any rank.
  virtual bool any(bool flag) { return flag; }
  virtual void barrier() {}
  virtual void teardown(Module& /*module*/) {}
};

/// The strategy `accelerator` and `devices` ask for. Throws ConfigError where there is no such
/// device, or more devices are asked for than Levin can drive.
std::unique_ptr<Strategy> make_strategy(const TrainerOptions& options);

}  // namespace levin
