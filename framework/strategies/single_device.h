#pragma once

#include <levin/framework/strategies/strategy.h>

namespace levin {

/// One process, one device. Lightning: SingleDeviceStrategy.
class SingleDeviceStrategy : public Strategy {
 public:
  explicit SingleDeviceStrategy(at::Device device) : device_(device) {}

  at::Device device() const override { return device_; }
  void setup(Module& module) override;
  void to_device(Batch& batch) override;
  void backward(Module& module, const torch::Tensor& loss, double weight,
                bool synchronize) override;

 private:
  at::Device device_;
};

}  // namespace levin
