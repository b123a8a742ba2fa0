#include <levin/serving/backend/request_counters.h>

#include <chrono>
#include <cstddef>

namespace levin {

void RequestCounters::note(const BatchRecord& batch) {
  const auto add = [](Count& count, uint64_t number) {
    count.fetch_add(number, std::memory_order_relaxed);
  };
  add(success_, batch.requests);
  add(inferences_, batch.rows);
  add(executions_, batch.executions);
  add(request_ns_, batch.request_ns);
  add(queue_ns_, batch.queue_ns);
  add(compute_input_ns_, batch.compute_input_ns);
  add(compute_infer_ns_, batch.compute_infer_ns);
  add(compute_output_ns_, batch.compute_output_ns);
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  last_inference_ms_.store(
      static_cast<uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count()),
      std::memory_order_relaxed);
}

void RequestCounters::read(ModelStatistics& statistics) const {
  const auto value = [](const Count& count) { return count.load(std::memory_order_relaxed); };
  for (size_t i = 0; i < failure_.size(); ++i) statistics.failure[i] = value(failure_[i]);
  statistics.success = value(success_);
  statistics.inferences = value(inferences_);
  statistics.executions = value(executions_);
  statistics.request_ns = value(request_ns_);
  statistics.queue_ns = value(queue_ns_);
  statistics.compute_input_ns = value(compute_input_ns_);
  statistics.compute_infer_ns = value(compute_infer_ns_);
  statistics.compute_output_ns = value(compute_output_ns_);
  statistics.last_inference_ms = value(last_inference_ms_);
}

}  // namespace levin
