#pragma once

#include <optional>
#include <utility>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Trains in one process on one device. Lightning: SingleDeviceStrategy.
///
///     SingleDeviceStrategy strategy(at::kCPU);
class SingleDeviceStrategy : public Strategy {
 public:
  /// `cluster` is what a launcher that started this process as the only rank has told; nothing if
  /// no launcher did.
  explicit SingleDeviceStrategy(at::Device device, std::optional<Cluster> cluster = {})
      : device_(device), cluster_(std::move(cluster)) {}

  at::Device device() const override { return device_; }
  const Cluster* cluster() const override { return cluster_ ? &*cluster_ : nullptr; }
  void setup(Module& module) override;
  void to_device(Batch& batch) override;
  double backward(Module& module, const torch::Tensor& loss, double weight,
                  std::optional<double> window_rows) override;

 private:
  at::Device device_;
  std::optional<Cluster> cluster_;
};

}  // namespace levin
