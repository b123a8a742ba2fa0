#include <levin/callbacks/device_stats_monitor.h>

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <sstream>

#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

constexpr double kMib = 1024.0 * 1024.0;

/// The seconds of processor time that this process has taken.
double processor_seconds() {
  std::timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// The bytes of memory that this process holds; 0 if the system doesn't tell.
double resident_bytes() {
  const std::filesystem::path statm = "/proc/self/statm";
  if (!files::exists(statm)) return 0.0;
  std::istringstream text(files::read_text(statm));
  double size = 0.0;
  double resident = 0.0;
  text >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

at::Device device_of(const Module& module) {
  const auto parameters = module.parameters();
  return parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
}

}  // namespace

Fields describe(DeviceStatsMonitorOptions& o) {
  return fields_of<DeviceStatsMonitorOptions>({
      {"cpu_stats", &o.cpu_stats,
       "log the host's figures, too; null: only if it trains on the CPU"},
      {"every_n_steps", &o.every_n_steps, "read the figures again after so many steps"},
  });
}

DeviceStatsMonitor::DeviceStatsMonitor(DeviceStatsMonitorOptions options) : options_(options) {
  if (options_.every_n_steps < 1) {
    throw ConfigError::invalid_value("DeviceStatsMonitor.every_n_steps",
                                     fmt::to_string(options_.every_n_steps), "must be at least 1");
  }
}

void DeviceStatsMonitor::on_train_start(Run& run) {
  next_ = run.global_step();
  wall_ = files::monotonic_seconds();
  processor_ = processor_seconds();
}

void DeviceStatsMonitor::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (step.global_step() >= next_) {
    read(step.run());
    next_ = step.global_step() + options_.every_n_steps;
  }
  for (const auto& [name, value] : figures_) {
    step.log(name, value, {.on_step = true, .on_epoch = false});
  }
}

void DeviceStatsMonitor::read(Run& run) {
  figures_.clear();
  const at::Device device = device_of(run.module());
  if (!device.is_cpu()) {
    constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / kMib; };
    figures_.emplace_back("device/allocated_mib", mib(stats.allocated_bytes[kAll].current));
    figures_.emplace_back("device/peak_allocated_mib", mib(stats.allocated_bytes[kAll].peak));
    figures_.emplace_back("device/reserved_mib", mib(stats.reserved_bytes[kAll].current));
  }
  if (options_.cpu_stats.value_or(device.is_cpu())) read_host();
}

void DeviceStatsMonitor::read_host() {
  const double wall = files::monotonic_seconds();
  const double processor = processor_seconds();
  const double passed = std::max(wall - wall_, 1e-9);
  figures_.emplace_back("cpu/process_mib", resident_bytes() / kMib);
  figures_.emplace_back("cpu/percent", 100.0 * (processor - processor_) / passed);
  wall_ = wall;
  processor_ = processor;
}

}  // namespace levin
