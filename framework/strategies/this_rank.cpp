#include <levin/framework/strategies/this_rank.h>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/strategies/single_device.h>
#include <levin/framework/tensor/device.h>

namespace levin {

std::unique_ptr<Strategy> make_strategy_of_this_rank(const TrainerOptions& options) {
  const auto cluster = find_cluster();
  const auto devices = parse_devices(options.accelerator, options.devices);
  const auto own = cluster ? static_cast<size_t>(cluster->local_rank) % devices.size() : 0;
  return std::make_unique<SingleDeviceStrategy>(devices[own]);
}

}  // namespace levin
