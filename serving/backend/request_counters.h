#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <levin/serving/backend/model_statistics.h>

namespace levin {

/// What one batch adds to the statistics: the numbers of its answered requests, of their rows and
/// of the calls that predicted them, and nanoseconds summed over the requests.
struct BatchRecord {
  uint64_t requests = 0;
  uint64_t rows = 0;
  uint64_t executions = 0;
  uint64_t request_ns = 0;
  uint64_t queue_ns = 0;
  uint64_t compute_input_ns = 0;
  uint64_t compute_infer_ns = 0;
  uint64_t compute_output_ns = 0;
};

/// Counts what happens to the requests of one version of a model. Any thread may call any function;
/// none locks.
class RequestCounters {
 public:
  void note_failure(ModelStatistics::Reason reason) {
    failure_[reason].fetch_add(1, std::memory_order_relaxed);
  }
  void note(const BatchRecord& batch);
  /// Sets the counted members of `statistics`.
  void read(ModelStatistics& statistics) const;

 private:
  using Count = std::atomic<uint64_t>;
  std::array<Count, 4> failure_{};
  Count success_{0};
  Count inferences_{0};
  Count executions_{0};
  Count request_ns_{0};
  Count queue_ns_{0};
  Count compute_input_ns_{0};
  Count compute_infer_ns_{0};
  Count compute_output_ns_{0};
  Count last_inference_ms_{0};
};

}  // namespace levin
