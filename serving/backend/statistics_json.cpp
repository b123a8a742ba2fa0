#include <levin/serving/backend/statistics_text.h>

#include <cstdint>
#include <string_view>

#include <levin/serving/protocol/json_text.h>

namespace levin {

namespace {

void append_count(std::string& json, std::string_view name, uint64_t value) {
  append_json_key(json, name);
  append_json(json, value);
}

/// Appends a member {"count", "ns"}.
void append_duration(std::string& json, std::string_view name, uint64_t count, uint64_t ns) {
  append_json_key(json, name);
  json += '{';
  append_count(json, "count", count);
  json += ',';
  append_count(json, "ns", ns);
  json += '}';
}

void append_statistics(std::string& json, const ModelStatistics& model) {
  uint64_t failures = 0;
  for (const uint64_t count : model.failure) failures += count;
  json += '{';
  append_json_key(json, "name");
  append_json(json, std::string_view(model.model));
  json += ',';
  append_json_key(json, "version");
  append_json(json, std::string_view(model.version));
  json += ',';
  append_count(json, "last_inference", model.last_inference_ms);
  json += ',';
  append_count(json, "inference_count", model.inferences);
  json += ',';
  append_count(json, "execution_count", model.executions);
  json += ",\"inference_stats\":{";
  append_duration(json, "success", model.success, model.request_ns);
  json += ',';
  append_duration(json, "fail", failures, 0);
  json += ',';
  append_duration(json, "queue", model.success, model.queue_ns);
  json += ',';
  append_duration(json, "compute_input", model.success, model.compute_input_ns);
  json += ',';
  append_duration(json, "compute_infer", model.success, model.compute_infer_ns);
  json += ',';
  append_duration(json, "compute_output", model.success, model.compute_output_ns);
  json += ',';
  append_duration(json, "cache_hit", 0, 0);
  json += ',';
  append_duration(json, "cache_miss", 0, 0);
  json += "},\"batch_stats\":[]}";
}

}  // namespace

std::string statistics_json(const std::vector<ModelStatistics>& statistics) {
  std::string json = "{\"model_stats\":[";
  for (size_t i = 0; i < statistics.size(); ++i) {
    if (i > 0) json += ',';
    append_statistics(json, statistics[i]);
  }
  return json + "]}";
}

}  // namespace levin
