#include <levin/serving/backend/statistics_text.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "framework/python.h"

namespace levin::statistics_text_test {

std::vector<ModelStatistics> sample() {
  ModelStatistics model{.model = "a\"b\\c\nd", .version = "3"};
  model.success = 7;
  model.failure = {1, 2, 3, 4};
  model.inferences = 20;
  model.executions = 5;
  model.request_ns = 9001999;
  model.queue_ns = 1000;
  model.compute_input_ns = 2000;
  model.compute_infer_ns = 3000;
  model.compute_output_ns = 4000;
  model.pending = 6;
  model.load_seconds = 0.25;
  model.last_inference_ms = 1700000000000;
  return {model};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(StatisticsText, json_has_the_fields_of_tritons_extension) {
  EXPECT_EQ(statistics_json(sample()),
            R"({"model_stats":[{"name":"a\"b\\c\u000ad","version":"3",)"
            R"("last_inference":1700000000000,"inference_count":20,"execution_count":5,)"
            R"("inference_stats":{"success":{"count":7,"ns":9001999},"fail":{"count":10,"ns":0},)"
            R"("queue":{"count":7,"ns":1000},"compute_input":{"count":7,"ns":2000},)"
            R"("compute_infer":{"count":7,"ns":3000},"compute_output":{"count":7,"ns":4000},)"
            R"("cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},)"
            R"("batch_stats":[]}]})");
  EXPECT_EQ(statistics_json({}), R"({"model_stats":[]})");
}

TEST(StatisticsText, prometheus_has_tritons_names_and_escaped_labels) {
  const auto text = prometheus_text(sample(), {.cpu_utilization = 0.5, .memory_total = 4096});
  const std::string labels = R"({model="a\"b\\c\nd",version="3"} )";
  EXPECT_TRUE(has(text, "\nnv_inference_request_success" + labels + "7\n")) << text;
  EXPECT_TRUE(has(text, "\nnv_inference_request_duration_us" + labels + "9001\n")) << text;
  EXPECT_TRUE(has(text, "\nnv_inference_pending_request_count" + labels + "6\n")) << text;
  EXPECT_TRUE(has(text, "\nnv_model_load_duration_secs" + labels + "0.25\n")) << text;
  EXPECT_TRUE(has(text, R"(version="3",reason="BACKEND"} 3)")) << text;
  EXPECT_TRUE(has(text, "\nnv_cpu_utilization 0.5\n")) << text;
  EXPECT_TRUE(has(text, "\nnv_cpu_memory_total_bytes 4096\n")) << text;
}

TEST(StatisticsText, prometheus_client_reads_the_metrics) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("levin_metrics_" + std::to_string(::getpid()) + ".txt");
  ProcessMeter meter;
  std::ofstream(path) << prometheus_text(sample(), meter.read());
  const auto result = test::run_python("read_metrics.py", {path.string()});
  std::filesystem::remove(path);
  if (result.status == 77) GTEST_SKIP() << "prometheus_client isn't installed";
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output,
            "a\"b\\c\nd 3 success 7 executions 5 failures 10\n"
            "process_cpu_seconds_total counter\n");
}

TEST(StatisticsText, the_process_has_memory_files_and_processor_time) {
  ProcessMeter meter;
  const auto numbers = meter.read();
  EXPECT_GT(numbers.memory_total, numbers.memory_used);
  EXPECT_GT(numbers.memory_used, 0U);
  EXPECT_GT(numbers.process_memory, 100000U);
  EXPECT_GE(numbers.process_open_files, 3U);
  EXPECT_GT(numbers.process_cpu_seconds, 0.0);
  EXPECT_GE(numbers.cpu_utilization, 0.0);
  EXPECT_LE(numbers.cpu_utilization, 1.0);
}

}  // namespace levin::statistics_text_test
