#pragma once

#include <optional>
#include <utility>

#include <levin/framework/data/device_copies.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Trains in one process on one device. This is what "auto" gives if one device is asked for.
/// Lightning: SingleDeviceStrategy.
///
///     SingleDeviceStrategy strategy(default_device());
///     strategy.setup(model);                          // moves the model to the device
///     strategy.backward(model, loss, /*weight=*/1.0, batch.rows());
///
/// Nothing is summed and nobody is waited for; with weight 1 a call costs what loss.backward()
/// costs.
class SingleDeviceStrategy : public Strategy {
 public:
  /// `cluster` is what a launcher that started this process as the only rank has told; nothing if
  /// no launcher did.
  explicit SingleDeviceStrategy(at::Device device, std::optional<Cluster> cluster = {})
      : device_(device), copies_(device), cluster_(std::move(cluster)) {}

  at::Device device() const override { return device_; }
  /// What the constructor was given; null if that was nothing.
  const Cluster* cluster() const override { return cluster_ ? &*cluster_ : nullptr; }
  std::unique_ptr<DeviceGraph> make_graph() const override { return make_device_graph(device_); }
  /// Moves the module to the device.
  void setup(Module& module) override;
  /// Does nothing on the CPU. The copy to a GPU is asynchronous from pinned memory, and goes on
  /// while the GPU works on earlier batches (DeviceCopies).
  void to_device(Batch& batch) override;
  /// Returns `window_rows`, or 0 within a window. Does nothing if `loss` is undefined.
  std::optional<double> backward(Module& module, const torch::Tensor& loss, double weight,
                                 std::optional<double> window_rows) override;

 private:
  at::Device device_;
  DeviceCopies copies_;
  std::optional<Cluster> cluster_;
};

}  // namespace levin
