#pragma once

#include <optional>
#include <utility>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// One process, one device. Lightning: SingleDeviceStrategy.
class SingleDeviceStrategy : public Strategy {
 public:
  /// `cluster`: what started this process as the only rank; nothing where nothing did.
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
