#include <levin/framework/strategies/single_device.h>

#include <string>

#include <levin/framework/device.h>
#include <levin/framework/error.h>
#include <levin/framework/module.h>
#include <levin/framework/trainer_options.h>

namespace levin {

void SingleDeviceStrategy::setup(Module& module) { module.to(device_); }

void SingleDeviceStrategy::to_device(Batch& batch) {
  if (!device_.is_cpu()) batch = batch.to(device_);
}

void SingleDeviceStrategy::backward(Module& module, const torch::Tensor& loss, double weight,
                                    bool /*synchronize*/) {
  module.backward(weight == 1.0 ? loss : loss * weight);
}

std::unique_ptr<Strategy> make_strategy(const TrainerOptions& options) {
  const auto devices = parse_devices(options.accelerator, options.devices);
  if (devices.size() != 1) {
    throw ConfigError::invalid_value("devices", std::to_string(devices.size()),
                                     "training on more than one device isn't there yet; use 1");
  }
  return std::make_unique<SingleDeviceStrategy>(devices.front());
}

}  // namespace levin
