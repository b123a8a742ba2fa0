#include <levin/serving/load/load_report.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>

namespace levin {
namespace {

/// Above this share of a core, the generator may be what limits the rate.
constexpr double kBusyGenerator = 0.9;

Value latency_value(const LatencyHistogram& histogram) {
  Value value = Value::Object{};
  constexpr std::array<std::pair<const char*, double>, 4> percentiles = {
      {{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}}};
  for (const auto& [name, percent] : percentiles) value[name] = histogram.percentile(percent) * 1e3;
  value["max"] = histogram.longest() * 1e3;
  value["mean"] = histogram.mean() * 1e3;
  return value;
}

std::string with_digits(double value) {
  return value >= 1000.0 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

}  // namespace

Value to_value(const LoadStep& step) {
  const LoadResult& result = step.result;
  Value value = Value::Object{};
  value["loop"] = step.rate > 0.0 ? "open" : "closed";
  value["rate"] = step.rate;
  value["connections"] = step.connections;
  value["seconds"] = result.seconds;
  value["throughput"] = result.throughput;
  value["requests"] = result.requests;
  value["answered"] = result.answered;
  value["refused"] = result.refused;
  value["failed"] = result.failed;
  value["broken"] = result.broken;
  value["expired"] = result.expired;
  value["unfinished"] = result.unfinished;
  value["reconnects"] = result.reconnects;
  value["generator_load"] = result.generator_load;
  value["interrupted"] = result.is_interrupted;
  value["latency_ms"] = latency_value(result.latency);
  value["service_ms"] = latency_value(result.service);
  Value statuses = Value::Object{};
  for (const auto& [status, count] : result.statuses) statuses[std::to_string(status)] = count;
  value["statuses"] = statuses;
  return value;
}

std::string load_table(const std::vector<LoadStep>& steps) {
  constexpr std::string_view kLine =
      "{:>9} {:>11} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7}\n";
  std::string table =
      fmt::format("{:>32} {:>44}\n", "requests a second", "latency in milliseconds");
  table += fmt::format(kLine, "sent", "connections", "answered", "p50", "p90", "p99", "p99.9",
                       "max", "requests", "refused", "errors");
  for (const auto& step : steps) {
    const LoadResult& result = step.result;
    const auto latency = [&](double percent) {
      return with_digits(result.latency.percentile(percent) * 1e3);
    };
    table += fmt::format(kLine, step.rate > 0.0 ? with_digits(step.rate) : "closed",
                         step.connections, with_digits(result.throughput), latency(50.0),
                         latency(90.0), latency(99.0), latency(99.9), latency(100.0),
                         result.requests, result.refused, result.errors());
  }
  return table;
}

std::string load_remarks(const std::vector<LoadStep>& steps) {
  LoadResult sum;
  for (const auto& step : steps) {
    const LoadResult& each = step.result;
    sum.refused += each.refused;
    sum.failed += each.failed;
    sum.broken += each.broken;
    sum.expired += each.expired;
    sum.unfinished += each.unfinished;
    sum.generator_load = std::max(sum.generator_load, each.generator_load);
    sum.is_interrupted = sum.is_interrupted || each.is_interrupted;
    for (const auto& [status, count] : each.statuses) sum.statuses[status] += count;
    if (!each.problem.empty()) sum.problem = each.problem;
  }
  std::string text;
  if (sum.is_interrupted) text += "stopped before the end; these are the figures so far\n";
  if (sum.refused > 0) {
    text += fmt::format("{} refused by the server, which had too much to do (status 429)\n",
                        counted(sum.refused, "request"));
  }
  for (const auto& [status, count] : sum.statuses) {
    if (status == 429 || (status >= 200 && status < 300)) continue;
    text += fmt::format("{} answered with status {}\n", counted(count, "request"), status);
  }
  if (sum.broken > 0) {
    text += fmt::format("{} lost with their connection ({})\n", counted(sum.broken, "request"),
                        sum.problem);
  }
  if (sum.expired > 0) {
    text += fmt::format("{} not answered in time\n", counted(sum.expired, "request"));
  }
  if (sum.generator_load > kBusyGenerator) {
    text += fmt::format(
        "the load generator used {:.0f} % of a core: the server may be faster than these figures\n",
        sum.generator_load * 100.0);
  }
  return text;
}

std::string load_csv(const std::vector<LoadStep>& steps) {
  std::string csv =
      "rate,connections,seconds,throughput,requests,answered,refused,failed,broken,expired,"
      "unfinished,p50_ms,p90_ms,p99_ms,p99.9_ms,max_ms,mean_ms,generator_load\n";
  for (const auto& [rate, connections, r] : steps) {
    csv +=
        fmt::format("{},{},{},{},{},{},{},{},{},{},{}", rate, connections, r.seconds, r.throughput,
                    r.requests, r.answered, r.refused, r.failed, r.broken, r.expired, r.unfinished);
    for (const double percent : {50.0, 90.0, 99.0, 99.9, 100.0}) {
      csv += fmt::format(",{:.6g}", r.latency.percentile(percent) * 1e3);
    }
    csv += fmt::format(",{:.6g},{:.3g}\n", r.latency.mean() * 1e3, r.generator_load);
  }
  return csv;
}

}  // namespace levin
