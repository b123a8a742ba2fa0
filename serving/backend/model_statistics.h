#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace levin {

/// What has happened to the requests of one version of a model since it was loaded: the numbers
/// behind Triton's metrics (nv_inference_...) and its statistics extension. Durations are sums over
/// requests, in nanoseconds.
struct ModelStatistics {
  /// The reasons of failures, as Triton names them: REJECTED, CANCELED, BACKEND, OTHER.
  enum Reason : size_t { rejected, canceled, backend, other };

  std::string model{};
  std::string version{};
  /// Requests that were answered, and those that weren't, by reason.
  uint64_t success = 0;
  std::array<uint64_t, 4> failure{};
  /// Rows that were predicted, and batches that they were in: their ratio is the mean batch.
  uint64_t inferences = 0;
  uint64_t executions = 0;
  /// From a request's arrival in the queue to its answer, and the parts of that time.
  uint64_t request_ns = 0;
  uint64_t queue_ns = 0;
  uint64_t compute_input_ns = 0;
  uint64_t compute_infer_ns = 0;
  uint64_t compute_output_ns = 0;
  /// Requests that wait now, and how many seconds the loading of the model took.
  uint64_t pending = 0;
  double load_seconds = 0.0;
  /// Milliseconds since 1970 at which the last request was answered; 0: none yet.
  uint64_t last_inference_ms = 0;
};

}  // namespace levin
