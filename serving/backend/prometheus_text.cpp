#include <levin/serving/backend/statistics_text.h>

#include <string_view>

#include <fmt/format.h>

namespace levin {

namespace {

/// A text as the value of a label.
std::string label_value(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

void append_metric_head(std::string& text, std::string_view name, std::string_view type,
                        std::string_view help) {
  text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

/// Writes one metric of all models; `value` returns a model's.
template <class Value>
void append_model_metric(std::string& text, const std::vector<ModelStatistics>& statistics,
                         std::string_view name, std::string_view type, std::string_view help,
                         const Value& value) {
  append_metric_head(text, name, type, help);
  for (const auto& model : statistics) {
    text += fmt::format("{}{{model=\"{}\",version=\"{}\"}} {}\n", name, label_value(model.model),
                        label_value(model.version), value(model));
  }
}

void append_failures(std::string& text, const std::vector<ModelStatistics>& statistics) {
  constexpr std::string_view kName = "nv_inference_request_failure";
  constexpr std::string_view kReasons[] = {"REJECTED", "CANCELED", "BACKEND", "OTHER"};
  append_metric_head(text, kName, "counter", "Number of failed inference requests");
  for (const auto& model : statistics) {
    for (size_t reason = 0; reason < model.failure.size(); ++reason) {
      text += fmt::format("{}{{model=\"{}\",version=\"{}\",reason=\"{}\"}} {}\n", kName,
                          label_value(model.model), label_value(model.version), kReasons[reason],
                          model.failure[reason]);
    }
  }
}

template <class T>
void append_number_metric(std::string& text, std::string_view name, std::string_view type,
                          std::string_view help, T value) {
  append_metric_head(text, name, type, help);
  text += fmt::format("{} {}\n", name, value);
}

struct CounterRow {
  std::string_view name;
  uint64_t ModelStatistics::*value;
  uint64_t divisor;
  std::string_view help;
};

constexpr CounterRow kCounters[] = {
    {"nv_inference_request_success", &ModelStatistics::success, 1,
     "Number of successful inference requests"},
    {"nv_inference_count", &ModelStatistics::inferences, 1, "Number of rows that were predicted"},
    {"nv_inference_exec_count", &ModelStatistics::executions, 1,
     "Number of batches that were predicted"},
    {"nv_inference_request_duration_us", &ModelStatistics::request_ns, 1000,
     "Cumulative time from the arrival of requests to their answers, in microseconds"},
    {"nv_inference_queue_duration_us", &ModelStatistics::queue_ns, 1000,
     "Cumulative time that requests waited in the queue, in microseconds"},
    {"nv_inference_compute_input_duration_us", &ModelStatistics::compute_input_ns, 1000,
     "Cumulative time for making batches of inputs, in microseconds"},
    {"nv_inference_compute_infer_duration_us", &ModelStatistics::compute_infer_ns, 1000,
     "Cumulative time in the model, in microseconds"},
    {"nv_inference_compute_output_duration_us", &ModelStatistics::compute_output_ns, 1000,
     "Cumulative time for making answers of outputs, in microseconds"},
};

}  // namespace

std::string prometheus_text(const std::vector<ModelStatistics>& statistics,
                            const ProcessNumbers& process) {
  std::string text;
  for (const auto& row : kCounters) {
    append_model_metric(
        text, statistics, row.name, "counter", row.help,
        [&row](const ModelStatistics& model) { return model.*row.value / row.divisor; });
  }
  append_failures(text, statistics);
  append_model_metric(text, statistics, "nv_inference_pending_request_count", "gauge",
                      "Number of requests that wait now",
                      [](const ModelStatistics& model) { return model.pending; });
  append_model_metric(text, statistics, "nv_model_load_duration_secs", "gauge",
                      "Time that the loading of the model took, in seconds",
                      [](const ModelStatistics& model) { return model.load_seconds; });
  append_number_metric(text, "nv_cpu_utilization", "gauge",
                       "Share of the machine's processors that is busy, 0 to 1",
                       process.cpu_utilization);
  append_number_metric(text, "nv_cpu_memory_total_bytes", "gauge", "The machine's memory, in bytes",
                       process.memory_total);
  append_number_metric(text, "nv_cpu_memory_used_bytes", "gauge",
                       "The machine's memory that is used, in bytes", process.memory_used);
  append_number_metric(text, "process_cpu_seconds_total", "counter",
                       "Processor time of the server, in seconds", process.process_cpu_seconds);
  append_number_metric(text, "process_resident_memory_bytes", "gauge",
                       "Resident memory of the server, in bytes", process.process_memory);
  append_number_metric(text, "process_open_fds", "gauge", "Open files and sockets of the server",
                       process.process_open_files);
  return text;
}

}  // namespace levin
