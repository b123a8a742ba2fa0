#include <levin/framework/strategies/single_device.h>

#include <levin/framework/run/module.h>

namespace levin {

void SingleDeviceStrategy::setup(Module& module) { module.to(device_); }

void SingleDeviceStrategy::to_device(Batch& batch) {
  if (!device_.is_cpu()) batch = copies_.copy(batch);
}

std::optional<double> SingleDeviceStrategy::backward(Module& module, const torch::Tensor& loss,
                                                     double weight,
                                                     std::optional<double> window_rows) {
  if (loss.defined()) module.backward(weight == 1.0 ? loss : loss * weight);
  return window_rows.value_or(0.0);
}

}  // namespace levin
