#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include <levin/serving/backend/model_statistics.h>

/// The statistics of models as clients ask for them.
namespace levin {

/// The JSON of Triton's statistics extension, {"model_stats": [...]}. Durations are in nanoseconds.
/// Source: Triton, extension_statistics.md.
std::string statistics_json(const std::vector<ModelStatistics>& statistics);

/// Numbers of the machine and of this process; what can't be read is 0.
struct ProcessNumbers {
  /// The share of all processors that was busy, 0 to 1, since the numbers were read before.
  double cpu_utilization = 0.0;
  /// Of the machine's memory, in bytes.
  uint64_t memory_total = 0;
  uint64_t memory_used = 0;
  /// Of this process: processor seconds, bytes of resident memory, and open files and sockets.
  double process_cpu_seconds = 0.0;
  uint64_t process_memory = 0;
  uint64_t process_open_files = 0;
};

/// Reads ProcessNumbers from /proc. Functions may be called from any thread.
class ProcessMeter {
 public:
  ProcessMeter();
  ProcessNumbers read();

 private:
  std::mutex mutex_;
  uint64_t busy_ticks_ = 0;
  uint64_t all_ticks_ = 0;
};

/// The metrics of a server in Prometheus' text format, whose content type is kPrometheusType: those
/// of models and of the machine by Triton's names, those of the process by the names of Prometheus'
/// own clients. Source: Triton, metrics.md; Prometheus, exposition_formats.md.
std::string prometheus_text(const std::vector<ModelStatistics>& statistics,
                            const ProcessNumbers& process);
inline constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace levin
