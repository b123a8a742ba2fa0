#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of DeviceStatsMonitor.
struct DeviceStatsMonitorOptions {
  /// Log what the process takes of the host, too. By default only if it trains on the CPU.
  std::optional<bool> cpu_stats{};
  /// Read the figures again after so many optimizer steps, at least 1; rows in between repeat them.
  int64_t every_n_steps = 50;
};

/// Describes the options for YAML files and `--help`.
Fields describe(DeviceStatsMonitorOptions& options);

/// Logs the memory and the processor time that training takes, as values of the step. Lightning:
/// DeviceStatsMonitor.
///
///     trainer.add<levin::DeviceStatsMonitor>({.cpu_stats = true});
///
/// On a GPU: "device/allocated_mib" (in tensors), "device/peak_allocated_mib" and
/// "device/reserved_mib" (taken from the driver), by LibTorch's allocator. Of the host:
/// "cpu/process_mib" (resident) and "cpu/percent" (100 for each processor that was busy since the
/// last reading). A reading takes some microseconds. The values are those of rank 0.
class DeviceStatsMonitor : public Callback {
 public:
  using Options = DeviceStatsMonitorOptions;
  /// Throws ConfigError if every_n_steps is below 1.
  explicit DeviceStatsMonitor(DeviceStatsMonitorOptions options = {});

  void on_train_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;

 private:
  void read(Run& run);
  void read_host();

  DeviceStatsMonitorOptions options_;
  std::vector<std::pair<const char*, double>> figures_;
  int64_t next_ = 0;                     // the step after which they are read again
  double wall_ = 0.0, processor_ = 0.0;  // seconds, at the last reading
};

}  // namespace levin
